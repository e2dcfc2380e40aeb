"""Leads transformers' Auto classes to the package that this checkpoint is of: pip install sketch-prompt"""

from sketch_prompt import DpClipConfig, DpClipModel
