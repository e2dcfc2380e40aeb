"""What is evaluated, and how: the same dataclass for Python, recipes and the command line."""

from collections.abc import Sequence
from dataclasses import dataclass

from huggingface_hub.dataclasses import strict

from sketch_prompt.data.benchmarks import default_level
from sketch_prompt.models.configuration_base import require
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.vocabulary import Condition, Convention, GalleryPhotos, Level, Query, Ranking, Support

DEFAULT_KS: dict[Level, tuple[int, ...]] = {"category": (100, 200), "instance": (1, 5, 10)}


@strict
@dataclass(kw_only=True)
class TaskOptions:
    """How photos are ranked and what is measured, on any benchmark.

    Example:
        >>> TaskOptions(ks=[10], ranking="rerank").shortlist
        100

    Attributes:
        gallery: Which photos are ranked for a sketch at instance level: `"all"` of them, or those of its
            `"category"`, the default. At category level always `"all"`.
        condition: The category that a method with conditions gets for each image: the true one (`"given"`), the one
            that the model predicts (`"predicted"`), or none (`"none"`); see `conditioning`. `"auto"` is `"given"` if a
            sketch ranks only the photos of its own category, and `"predicted"` otherwise.
        support: The example images of a category for such a method: its `"own"`; or, as ablations, `"random"` ones, or
            those of an `"unmatched"` category. They are not used with the condition `"none"`.
        convention: At category level, `"standard"` or `"interpolated"`; see `sketch_prompt.metrics`.
        ks: Cut-offs of the metrics; None for 100 and 200 (mAP@k, P@k), or 1, 5 and 10 at instance level (Acc@k).
        ranking: `"embedding"`; `"rerank"`: by embedding, and the first photos again by embedding and pair score, fused
            by the model; `"rerank-plain"`: the first photos again by pair score alone; or `"exhaustive"`: all photos
            by pair score. None for `"rerank"` if the method scores pairs, else `"embedding"`.
        shortlist: Number of photos that `"rerank"` scores again for each sketch.
        query: What is searched with: the test sketches (`"sketch"`), or the names of their classes (`"class-name"`),
            for methods whose photos can be compared with texts. It ranks by `"embedding"`.
        expand: Search a second time with each query and this many of its first hits combined. None for a single
            search. It ranks by `"embedding"`.
    """

    gallery: GalleryPhotos | None = None
    condition: Condition = "auto"
    support: Support = "own"
    convention: Convention = "standard"
    ks: Sequence[int] | None = None
    ranking: Ranking | None = None
    shortlist: int = 100
    query: Query = "sketch"
    expand: int | None = None

    def __post_init__(self):
        require(self.shortlist >= 1, "shortlist", self.shortlist, "at least 1")
        require(self.expand is None or self.expand >= 1, "expand", self.expand, "at least 1, or None")
        if self.support != "own" and self.condition == "none":
            raise ValueError(f"support={self.support!r} is not used with condition='none'")
        if self.query != "sketch" and self.ranking not in (None, "embedding"):
            raise ValueError(
                f"query={self.query!r} ranks by embedding and cannot be combined with ranking={self.ranking!r}"
            )
        if self.expand is not None and self.ranking not in (None, "embedding"):
            raise ValueError(
                f"expand ranks by embedding and cannot be combined with ranking={self.ranking!r}"
            )


@strict
@dataclass
class Task(TaskOptions):
    """What is evaluated, and how. The attributes of `TaskOptions` are keyword arguments.

    Missing values are filled in for the benchmark and its level, except for `ranking`, which depends on the model.

    Example:

    ```python
    Task("mini")  # category level: mAP and precision
    Task("sketchy-fg", gallery="all", ks=[1, 10])  # instance level: Acc@1 and Acc@10 among all photos
    ```

    Attributes:
        benchmark: Name of the benchmark.
        level: `"category"` or `"instance"`; None for the level that the benchmark is made for.
        train_benchmark: The benchmark that the model was trained on, if it is another one.
        allow_seen: Evaluate on classes seen in training, and say so in the report.
    """

    benchmark: str
    level: Level | None = None
    train_benchmark: str | None = None
    allow_seen: bool = False

    def __post_init__(self):
        super().__post_init__()
        self.level = self.level or default_level(self.benchmark)
        if self.level == "category":
            self.gallery = "all"
        self.gallery = self.gallery or "category"
        if self.condition == "auto":
            self.condition = "given" if self.gallery == "category" else "predicted"
        self.ks = list(self.ks or DEFAULT_KS[self.level])
        if self.train_benchmark == self.benchmark:
            self.train_benchmark = None

    def ranking_with(self, model: SketchPromptPreTrainedModel) -> Ranking:
        """How photos are ranked with this model.

        Raises:
            ValueError: `ranking` needs scores of pairs, which the model does not give.
        """
        if self.ranking not in (None, "embedding") and not model.has_reranker:
            raise ValueError(
                f"{model.method} compares embeddings only: ranking={self.ranking!r} needs a method that scores pairs."
            )
        by_pairs = model.has_reranker and self.expand is None and self.query == "sketch"
        return self.ranking or ("rerank" if by_pairs else "embedding")
