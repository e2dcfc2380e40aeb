"""The words that Python, reports, recipes and the command line share, and the values each of them takes.

Nothing is imported here, so the command line can offer these choices without loading torch.
"""

from typing import Literal

Domain = Literal["sketch", "photo"]
"""What an image is. Each domain has its own encoder and its own preprocessing."""

Level = Literal["category", "instance"]
"""Which photo is right for a sketch: any photo of its category, or the one photo that it was drawn from."""

GalleryPhotos = Literal["all", "category"]
"""Which photos are ranked for a sketch: all of them, or those of its category. The value of `gallery`."""

Condition = Literal["auto", "given", "predicted", "none"]
"""What a method with conditions (DP-CLIP) is told about an image: its category, the category that the model predicts,
or nothing. "auto" is "given" where a sketch ranks the photos of its own category only, and "predicted" elsewhere."""

Support = Literal["own", "random", "unmatched"]
"""Whose images show a method with conditions what a category is: the category's own, those of any category, or those
of another one. The last two are ablations of DP-CLIP's paper."""

Convention = Literal["standard", "interpolated"]
"""How mAP and precision are computed: as scikit-learn and SEM-PCYC do, or as ZSE-SBIR and SAKE do."""

Ranking = Literal["embedding", "rerank", "rerank-plain", "exhaustive"]
"""How photos are ranked: by embeddings; by embeddings and then, for the first ones, by embedding and pair together
("rerank") or by the pair alone ("rerank-plain"); or by every pair."""

PairType = Literal["float32", "float16", "bfloat16"]
"""What the tokens of images are kept in while pairs are scored."""

Query = Literal["sketch", "class-name"]
"""What photos are searched with: the test sketches, or in the place of each the name of its class."""

IndexKind = Literal["auto", "exact", "hnsw", "ivf", "ivf-sq8", "ivf-pq", "lance", "milvus"]
"""How the photos of a gallery are searched."""

Precision = Literal["auto", "float32", "float16", "int8", "binary"]
"""How many bits of each number of the photos' features an index keeps in memory: 32, 16, 8 or one. What it finds is
compared in full precision all the same, with features from the disk."""

TargetKind = Literal["photos", "text", "both", "instances", "none"]
"""What a lens maps sketches to: where the photos of their class are, the text of their class, both, the photo that
each draws (within its class), or nothing: it subtracts the mean sketch and maps nothing."""

TEST_SPLITS: dict[Domain, str] = {"sketch": "test_sketch", "photo": "test_photo"}
"""The splits of a benchmark that an evaluation uses."""
