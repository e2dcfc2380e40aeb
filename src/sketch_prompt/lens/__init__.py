"""The sketch lens: a linear map of sketch features, fitted in closed form, that leaves every photo as it is."""

from .fitter import TARGETS, LensFitter, check_targets, fit_features
from .fitting import MIN_GROUPS, PENALTIES, ClassTargets, InstanceTargets, fit_lens, group_folds
from .lens import Lens, apply_lens
from .sums import MEAN_ONLY, FeatureMeans, LensSums
from .validation import Sample, Validation

__all__ = [
    "MEAN_ONLY",
    "MIN_GROUPS",
    "PENALTIES",
    "TARGETS",
    "ClassTargets",
    "FeatureMeans",
    "InstanceTargets",
    "Lens",
    "LensFitter",
    "LensSums",
    "Sample",
    "Validation",
    "apply_lens",
    "check_targets",
    "fit_features",
    "fit_lens",
    "group_folds",
]
