"""What `scripts/train.py` and `sketch-prompt train` are made of."""
