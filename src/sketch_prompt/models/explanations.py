"""What every method offers to explain itself: which patches of a photo it takes for which of a sketch."""

import torch
from torch import Tensor

from ..explain import Correspondence, explain_pair, patch_similarity
from ..imaging import ImageLike
from ..processing import Domain


class ExplanationMixin:
    """`explain`, and what a method says of its patches for it.

    A method gives either the features by which its patches are matched (`get_patch_features`) or, where it compares
    patches itself, how strongly it connects each pair (`relate_patches`).
    """

    @torch.no_grad()
    def explain(self, sketch: ImageLike | Tensor, photo: ImageLike | Tensor, **conditions) -> Correspondence:
        """Which patches of a photo the model takes for which patches of a sketch.

        Args:
            sketch: a picture or its path, prepared by `processor`; or pixel values, a float tensor (3, H, W) or
                (1, 3, H, W) that a processor made.
            photo: likewise.
            conditions: as in `get_sketch_features`.

        Returns:
            `Correspondence`; `sketch_prompt.explain.figures` draws it.

        Raises:
            ValueError: a picture that cannot be read, or without a processor; pixel values of more than one image
                or of another size than the model's; a blank sketch.
        """
        return explain_pair(self, sketch, photo, **conditions)

    @property
    def patch_size(self) -> int:
        """Side in pixels of the patches that explanations connect."""
        return self.config.clip_config.vision_config.patch_size

    def get_patch_features(self, pixel_values: Tensor, domain: Domain, **conditions) -> Tensor:
        """What the method knows patches by: (B, 3, H, W) -> (B, P, d), row by row, comparable across domains."""
        raise TypeError(f"{type(self).__name__} is the contract, not a method: it embeds nothing")

    def relate_patches(self, sketch_pixel_values: Tensor, photo_pixel_values: Tensor, **conditions) -> Tensor:
        """How strongly the method connects every patch of a sketch with every patch of a photo.

        Here by the similarity of their features (`patch_similarity`); methods that compare patches themselves
        override it with what they do.

        Args:
            sketch_pixel_values: (1, 3, H, W)
            photo_pixel_values: (1, 3, H, W)
            conditions: as in `get_sketch_features`.

        Returns:
            (P_s, P_p) up to 1; what is not positive connects nothing.
        """
        sides = (sketch_pixel_values, "sketch"), (photo_pixel_values, "photo")
        features = [self.get_patch_features(pixels, domain, **conditions)[0] for pixels, domain in sides]
        grids = [tuple(side // self.patch_size for side in pixels.shape[-2:]) for pixels, _ in sides]
        return patch_similarity(*features, *grids)
