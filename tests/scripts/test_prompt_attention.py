"""The attention that prompts get from the class token."""

import pytest
import torch

from fakes.clip import LAYERS, WordProcessor, images, tiny_clip
from prompt_attention import attention_to_prompts
from sketch_prompt import SplipConfig, SplipModel
from sketch_prompt.models.prompted_clip import encode_vision


def test_shares_are_those_of_the_attention_weights_of_every_layer():
    torch.manual_seed(0)
    model = SplipModel(SplipConfig(base_model=None), backbone=tiny_clip()).eval()
    model.set_classes(["cup", "cat"], WordProcessor())
    shares, even = attention_to_prompts(model, images(4))
    with torch.no_grad():
        prompts = model.prompts().visual(1, LAYERS)
        tower = encode_vision(model.adapter.clip.vision_model, images(4), prompts, output_attentions=True)
    expected = [float(layer[:, :, 0, 17:].sum(-1).mean()) for layer in tower.attentions]
    assert shares == pytest.approx(expected, abs=1e-6)
    assert even == pytest.approx([6 / 23] * LAYERS)
    assert model.clip.config._attn_implementation != "recording"
