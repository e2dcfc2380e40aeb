"""`python -m sketch_prompt` is the `sketch-prompt` command."""

from sketch_prompt.cli import main

main()
