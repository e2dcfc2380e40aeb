"""Pretraining of small-clip, the CLIP of real photos that comes with the package."""
