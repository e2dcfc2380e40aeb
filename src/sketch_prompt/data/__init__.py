"""Benchmarks, class splits, reading of images, samplers and collators."""
