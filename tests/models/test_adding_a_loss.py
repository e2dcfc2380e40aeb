"""The checklist of docs/development.md, carried out: a loss is a function, a field and a line for its weight."""

import pytest
import torch
from huggingface_hub.dataclasses import strict
from torch.testing import assert_close

from fakes.clip import images, tiny_clip
from sketch_prompt import ClipAtConfig, ClipAtModel, losses


def centre_loss(sketch, photo):
    """|| mean sketch - mean photo ||^2 of embeddings (B, D): 0 to 4."""
    return (sketch.mean(0) - photo.mean(0)).square().sum()


@strict
class CentredConfig(ClipAtConfig):
    """CLIP-AT's, and `centre_weight`."""

    model_type = "clip-at-centred"
    centre_weight: float | int = 0.5


class CentredModel(ClipAtModel):
    config_class = CentredConfig
    loss_needs = ClipAtModel.loss_needs | {"centre": ("instance_ids",)}

    @property
    def loss_weights(self):
        return super().loss_weights | {"centre": self.config.centre_weight}

    def process_triplets(self, batch, terms):
        embeds, values = super().process_triplets(batch, terms)
        if "centre" in terms:
            values["centre"] = centre_loss(*embeds[:2])
        return embeds, values


def test_a_new_loss_is_weighed_checked_and_turned_off_by_the_base_class():
    config = CentredConfig(base_model=None, classification_weight=0.0)
    model = CentredModel(config, backbone=tiny_clip()).train()
    batch = images(4), images(4, 1), images(4, 2)
    out = model(*batch, instance_ids=torch.arange(4))
    embeds = out.sketch_embeds, out.photo_embeds, out.negative_embeds
    expected = losses.triplet_loss(*embeds, 0.3) + 0.5 * centre_loss(*embeds[:2])
    assert_close(out.loss, expected)
    assert set(out.loss_terms) == {"triplet", "centre"}
    with pytest.raises(ValueError, match="the centre loss needs instance_ids, or a weight of 0"):
        model(*batch)
    config.centre_weight = 0.0
    assert set(model(*batch).loss_terms) == {"triplet"}
