"""What methods offer that embed a sketch or a photo as one of a category: the base for those that do not."""

from collections.abc import Sequence

from torch import Tensor

from ..imaging import ImageLike


class CategoryMixin:
    """Categories that a model has been shown, and under which it embeds.

    A method whose embeddings depend on a category (`is_conditional`) takes `category=`, a name or one for every row,
    in `get_sketch_features` and `get_photo_features`; without it they are category-agnostic. Before a category can
    be named, the model must have been shown a few pictures of it (`add_category`), which trains nothing. What it
    makes of them is saved with the adapter. For all other methods these functions do nothing.
    """

    @property
    def is_conditional(self) -> bool:
        """Whether embeddings depend on a category."""
        return False

    @property
    def categories(self) -> list[str]:
        """Names of the categories that the model has been shown."""
        return []

    @property
    def support_size(self) -> tuple[int, int]:
        """How many sketches and photos of a category the method looks at."""
        return 0, 0

    def add_category(
        self, name: str, sketches: Sequence[ImageLike], photos: Sequence[ImageLike], processor=None
    ) -> None:
        """Show the model a category: a few sketches and photos of it, which need not be of the same things.

        Args:
            name: of the category, in words.
            sketches, photos: pictures or paths; one of the two may be empty.
            processor: by default the one that came with the model.
        """

    def remove_category(self, name: str) -> None:
        """Forget a category."""

    def predict_categories(self, pixel_values: Tensor, candidates: Sequence[str] | None = None) -> list[str]:
        """The category of every image among `candidates`, by zero-shot text classification.

        Args:
            pixel_values: (B, 3, H, W) of sketches or photos.
            candidates: names out of `categories`; all of them by default.
        """
        raise TypeError(f"{type(self).__name__} embeds without categories")
