"""The sketch lens: the query is adapted, the gallery never. See docs/sketch_lens.md."""

from collections.abc import Collection, Sequence

import datasets

from ...vocabulary import TargetKind
from ..frozen_clip import FrozenClipModel
from .configuration_sketch_lens import SketchLensConfig


class SketchLensModel(FrozenClipModel):
    """A frozen CLIP whose sketch features go through a lens: q' = normalise((q - m) W).

    Photo features are bit for bit those of `FrozenClipModel`, so every gallery of that CLIP is searched as it is.
    Before it was fitted, the model is the frozen CLIP.

    Example:
        ```python
        from sketch_prompt import Gallery, SketchLensModel

        lens = SketchLensModel.from_base_model("openai/clip-vit-base-patch32")
        lens.fit()  # the bundled doodles and the texts of their classes
        lens.save_pretrained("my-lens")
        Gallery.load("gallery-of-frozen-clip", "my-lens").search("drawing.png")
        ```
    """

    config_class = SketchLensConfig
    paper_text = (
        "A frozen CLIP whose sketch features go through a lens, a linear map fitted in closed form. Photo features "
        "are the frozen CLIP's own, so galleries of that CLIP are searched as they are."
    )

    @property
    def photo_method(self) -> str:
        """Photos are embedded as the frozen CLIP does."""
        return FrozenClipModel.config_class.model_type

    def fit(
        self,
        sketches: datasets.Dataset | Sequence[datasets.Dataset] | None = None,
        photos: datasets.Dataset | Sequence[datasets.Dataset] = (),
        targets: TargetKind | None = None,
        *,
        exclude_classes: Collection[str] = (),
        **options,
    ) -> "SketchLensModel":
        """Fit the lens in closed form.

        Args:
            sketches: tables of drawings with the columns image, label and instance_id, such as `train_sketch` of
                `load_benchmark`, `folder_table("drawings/", "sketch")`; None for the bundled doodles.
            photos: tables of photos.
            targets: what sketches are mapped to; see `sketch_prompt.lens.LensFitter`. Without photos "text".
            exclude_classes: classes to leave out, in any spelling: those that the lens shall be tested on.
            options: further ones of `sketch_prompt.lens.tables.fit_model_lens`, such as `batch_size`.

        Returns:
            The model.

        Raises:
            ValueError: there is too little to fit a lens on; see `fit_model_lens`.
        """
        from ...data.drawings import doodle_table
        from ...lens.tables import fit_model_lens
        from ...processing import SketchPromptProcessor

        if self.processor is None:
            self.processor = SketchPromptProcessor.from_base_model(self.config.base_model)
        if sketches is None:
            sketches = doodle_table()
        sketches, photos = (
            [tables] if isinstance(tables, datasets.Dataset) else list(tables)
            for tables in (sketches, photos)
        )
        fit_model_lens(
            self, self.processor, sketches, photos, targets, exclude_classes=exclude_classes, **options
        )
        return self
