"""Lets the Auto classes of transformers find the package of this checkpoint: pip install sketch-prompt"""

from sketch_prompt import SketchPromptProcessor
from sketch_prompt.image_processing import SketchPromptImageProcessor
