"""Folder of one `evaluate` module; load it with `sketch_prompt.metrics.load_metric`."""
