"""Pretraining of mini-clip, the small CLIP that comes with the package."""
