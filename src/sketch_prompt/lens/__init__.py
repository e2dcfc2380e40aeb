"""The sketch lens: a linear map of sketch features, fitted in closed form. Photo features do not change."""

from importlib import import_module
from typing import Any

# By name, so that a model that carries a lens does not import what fits one.
_PUBLIC = {
    "MEAN_ONLY": ".sums",
    "MIN_GROUPS": ".fitting",
    "PENALTIES": ".fitting",
    "TARGETS": ".fitter",
    "ClassTargets": ".fitting",
    "FeatureMeans": ".sums",
    "InstanceTargets": ".fitting",
    "Lens": ".lens",
    "LensFitter": ".fitter",
    "LensResult": ".tables",
    "LensSums": ".sums",
    "Sample": ".validation",
    "Validation": ".validation",
    "apply_lens": ".lens",
    "check_targets": ".fitter",
    "clarity": ".ambiguity",
    "fit_features": ".fitter",
    "fit_lens": ".fitting",
    "fit_model_lens": ".tables",
    "group_folds": ".fitting",
    "lens_tables": ".tables",
}

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name], __name__), name)
