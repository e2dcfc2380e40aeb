"""Leads transformers' Auto classes to the package that this checkpoint is of: pip install sketch-prompt"""

from sketch_prompt import SketchPromptProcessor
from sketch_prompt.image_processing import SketchPromptImageProcessor
