"""sketch-prompt: zero-shot sketch-based image retrieval on a frozen CLIP. You draw; it finds the photo."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

# Public names and where they live.
_PUBLIC = {
    "ClipAtConfig": ".models.clip_at",
    "ClipAtModel": ".models.clip_at",
    "DpClipConfig": ".models.dp_clip",
    "DpClipModel": ".models.dp_clip",
    "FrozenClipConfig": ".models.frozen_clip",
    "FrozenClipModel": ".models.frozen_clip",
    "Gallery": ".gallery.gallery",
    "SketchPromptConfig": ".models.auto",
    "SketchPromptImageProcessor": ".processing",
    "SketchPromptModel": ".models.auto",
    "SketchPromptProcessor": ".processing",
    "SplipConfig": ".models.splip",
    "SplipModel": ".models.splip",
    "ZseSbirConfig": ".models.zse_sbir",
    "ZseSbirModel": ".models.zse_sbir",
    "load_benchmark": ".data.benchmarks",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name], __name__), name)


def __dir__() -> list[str]:
    return __all__


# Importing the package makes its models known to AutoModel, AutoConfig and AutoProcessor. The command line does
# without until it needs a model, so that its help does not wait for torch.
if Path((sys.argv or [""])[0]).stem != "sketch-prompt":
    import_module(".models.auto", __name__)
