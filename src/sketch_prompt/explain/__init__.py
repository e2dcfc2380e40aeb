"""Why this photo? Which of its patches a model takes for which patches of a sketch, and pictures of that."""

from .correspondence import Correspondence
from .explaining import explain_pair
from .matching import ink_patches, match_one_to_one, patch_similarity

__all__ = ["Correspondence", "explain_pair", "ink_patches", "match_one_to_one", "patch_similarity"]
