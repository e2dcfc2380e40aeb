"""Cards, uploads to the Hub, and what lets transformers load our checkpoints."""
