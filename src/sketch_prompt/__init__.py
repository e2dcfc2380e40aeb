"""sketch-prompt: zero-shot sketch-based image retrieval on a frozen CLIP. You draw; it finds the photo."""

__version__ = "0.1.0"
