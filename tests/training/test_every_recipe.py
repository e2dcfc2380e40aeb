"""Every recipe, on a tiny CLIP and a few pictures: two steps, pushed, loaded by id and revision, equal features."""

import pytest
import torch
from safetensors.torch import save_file
from transformers import CLIPVisionConfig

from fakes.clip import IMAGE_SIZE, images
from sketch_prompt import SketchPromptModel
from sketch_prompt.models.zse_sbir.vision_transformer import VisionTransformer
from sketch_prompt.models.zse_sbir.vit_weights import TIMM
from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.loop import train
from sketch_prompt.training.recipe import recipe_folders

# One of each method in CI; the others with `-m slow`.
SHORT = {
    "clip-at-sketchy-21",
    "dp-clip-sketchy-fg",
    "splip-sketchy-25",
    "zse-sbir-shoe-v2",
    "zse-sbir-sketchy-25-vit",
}
RECIPES = [
    name if name in SHORT else pytest.param(name, marks=pytest.mark.slow) for name in sorted(recipe_folders())
]


@pytest.fixture(scope="module")
def tiny_vit(tmp_path_factory):
    """A vision transformer of the tiny CLIP's image size, as a file under timm's names."""
    config = CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=1,
        num_attention_heads=1,
        image_size=IMAGE_SIZE,
        patch_size=8,
    )
    torch.manual_seed(0)
    weights = VisionTransformer(config).state_dict()
    names = TIMM.names(config.num_hidden_layers)
    path = tmp_path_factory.mktemp("vit") / "vit.safetensors"
    save_file({theirs: torch.cat([weights[our] for our in ours]) for theirs, ours in names.items()}, path)
    return path


def features(model):
    with torch.no_grad():
        return torch.cat([model.get_sketch_features(images(2)), model.get_photo_features(images(2, seed=1))])


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_is_pushed_and_comes_back(name, hub, tiny_clip, tiny_vit, sketch_folder, tmp_path):
    recipe = TrainingConfig.load(name)
    base = tiny_vit if recipe.model.fields.get("backbone") == "vit" else tiny_clip
    # The tiny tokenizer reads letters, and SpLIP's two sentences must have equally many tokens.
    words = {"model.sketch_prompt": "'drawn {}'", "model.photo_prompt": "'photo {}'"}
    changes = {
        "model.base_model": base,
        "data.benchmark": "sketch-folder",
        "data.data_dir": sketch_folder,
        "data.level": recipe.data.level,
        "data.options": f"{{cache_dir: {tmp_path / 'cache'}}}",
        "data.num_workers": 0,
        "data.min_image_size": "null",
        "data.sketches_per_class": 2,
        "data.validation_classes": 0,
        "data.refit": "false",
        "processor.size": IMAGE_SIZE,
        "optimisation.max_steps": 2,
        "optimisation.batch_size": 4,
        "optimisation.gradient_accumulation_steps": 1,
        "optimisation.mixed_precision": "null",
        "evaluation.test": "false",
        "run.output_dir": tmp_path / "run",
        "run.progress": "false",
        "run.hub_model_id": f"me/{name}",
    }
    changes |= words if recipe.model.method == "splip" else {}
    result = train(TrainingConfig.load(name, [f"{key}={value}" for key, value in changes.items()]))
    expected = features(SketchPromptModel.from_pretrained(result.output_dir))
    commit = hub[f"me/{name}"].refs["main"]
    for revision in (None, "main", commit):
        again = SketchPromptModel.from_pretrained(f"me/{name}", revision=revision)
        assert again.method == result.method and torch.equal(features(again), expected)
        assert again.facts.recipe["optimisation"]["max_steps"] == 2
