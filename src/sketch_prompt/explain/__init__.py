"""Explanations: the patches of a photo that a model matches with patches of a sketch, and figures of the matches."""

from .correspondence import Correspondence
from .explaining import explain_pair
from .matching import ink_patches, match_one_to_one, patch_similarity

__all__ = ["Correspondence", "explain_pair", "ink_patches", "match_one_to_one", "patch_similarity"]
