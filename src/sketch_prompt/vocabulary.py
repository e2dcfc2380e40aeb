"""The names that Python, reports, recipes and the command line share, and their values.

Nothing is imported here, so the command line can offer these choices without loading torch.
"""

from typing import Literal

Domain = Literal["sketch", "photo"]
"""The type of an image. Each domain has its own encoder and preprocessing."""

Level = Literal["category", "instance"]
"""Which photos are correct for a sketch: all photos of its category, or the photo that it was drawn from."""

GalleryPhotos = Literal["all", "category"]
"""Which photos are ranked for a sketch: all photos, or those of its category. The value of `gallery`."""

Condition = Literal["auto", "given", "predicted", "none"]
"""The category that a method with conditions (DP-CLIP) gets for an image.

It is the true one, the one that the model predicts, or none. "auto" is "given" if a sketch ranks only the photos of
its own category, and else "predicted".
"""

Support = Literal["own", "random", "unmatched"]
"""The example images of a category for a method with conditions.

They are its own, random ones, or those of another category. The last two are ablations of the DP-CLIP paper.
"""

Convention = Literal["standard", "interpolated"]
"""How mAP and precision are computed: as in scikit-learn and SEM-PCYC, or as in ZSE-SBIR and SAKE."""

Ranking = Literal["embedding", "rerank", "rerank-plain", "exhaustive"]
"""How photos are ranked: by embedding; by embedding, and the first ones again by embedding and pair score together
("rerank") or by pair score alone ("rerank-plain"); or by the scores of all pairs.
"""

PairType = Literal["float32", "float16", "bfloat16"]
"""The data type of the tokens of images for scoring pairs."""

Query = Literal["sketch", "class-name"]
"""What photos are searched with: the test sketches, or the names of their classes."""

IndexKind = Literal["auto", "exact", "hnsw", "ivf", "ivf-sq8", "ivf-pq", "lance", "milvus"]
"""The kind of index of a gallery."""

Precision = Literal["auto", "float32", "float16", "int8", "binary"]
"""The number of bits of each number of the features in memory: 32, 16, 8 or one.

Hits are always compared in full precision, with the features on the disk.
"""

TargetKind = Literal["photos", "text", "both", "instances", "none"]
"""What a lens maps sketches to.

It is the photos of their class, the text of their class, both, the photo that each sketch draws (within its class), or
nothing: only the mean sketch is subtracted.
"""

TEST_SPLITS: dict[Domain, str] = {"sketch": "test_sketch", "photo": "test_photo"}
"""The splits of a benchmark for an evaluation."""
