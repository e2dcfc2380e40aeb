"""How much of the class token's attention goes to deep prompts, layer by layer: a table in Markdown.

    python scripts/prompt_attention.py mini-splip mini-zse-sbir
    python scripts/prompt_attention.py splip --base-model CLIP                    # untrained, on any CLIP
    python scripts/prompt_attention.py splip --base-model CLIP --set prompt_init=mean_token

Attention is averaged over heads and over photos of MiniSketch. The last column is what as many tokens would get if the
class token looked at all alike.
"""

import argparse

import torch
import yaml
from torch import Tensor
from transformers import AttentionInterface
from transformers.models.clip.modeling_clip import eager_attention_forward

from sketch_prompt import SketchPromptModel, SketchPromptProcessor, load_benchmark
from sketch_prompt.models import method_folders
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel

RECORDING = "recording"


def attention_to_prompts(
    model: SketchPromptPreTrainedModel, pixel_values: Tensor
) -> tuple[list[float], list[float]]:
    """Of each vision layer: the class token's attention on the tokens behind the patches, and an even share.

    Args:
        model: of any method; photos are embedded.
        pixel_values: (B, 3, H, W)
    """
    vision = model.clip.config.vision_config
    n_image = 1 + (vision.image_size // vision.patch_size) ** 2
    shares, even = [], []

    def recording(module, query, key, value, attention_mask, **options):
        output, weights = eager_attention_forward(module, query, key, value, attention_mask, **options)
        if module.config.hidden_size == vision.hidden_size and not options.get("is_causal"):
            shares.append(float(weights[:, :, 0, n_image:].sum(-1).mean()))
            even.append((key.shape[2] - n_image) / key.shape[2])
        return output, weights

    AttentionInterface.register(RECORDING, recording)
    before = model.clip.config._attn_implementation
    with torch.no_grad():
        model.get_photo_features(pixel_values[:1])  # what is computed once is not counted
        model.set_attn_implementation(RECORDING)
        shares.clear()
        even.clear()
        model.get_photo_features(pixel_values)
    model.set_attn_implementation(before)
    return shares, even


def load(source: str, base_model: str | None, fields: dict) -> tuple[SketchPromptPreTrainedModel, object]:
    """A checkpoint, or an untrained model of a method that knows MiniSketch's classes."""
    if source not in method_folders():
        model = SketchPromptModel.from_pretrained(source)
        return model.eval(), model.processor
    torch.manual_seed(0)
    model = SketchPromptModel.from_base_model(source, base_model, **fields).eval()
    processor = SketchPromptProcessor.from_base_model(base_model)
    names = load_benchmark("mini")["train_photo"].features["label"].names
    model.set_classes(names, processor)
    return model, processor


def main() -> None:
    """Parse the command line, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="checkpoints, or methods with --base-model")
    parser.add_argument("--base-model", help="the CLIP under an untrained method")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="its configuration")
    parser.add_argument("--photos", type=int, default=32)
    arguments = parser.parse_args()
    fields = {
        name: yaml.safe_load(value) for name, _, value in (each.partition("=") for each in arguments.set)
    }
    photos = load_benchmark("mini")["test_photo"]
    chosen = range(0, len(photos), max(len(photos) // arguments.photos, 1))
    lines = []
    for source in arguments.models:
        model, processor = load(source, arguments.base_model, fields)
        pixels = torch.stack([processor.preprocess(photos[row]["image"], "photo") for row in chosen])
        shares, even = attention_to_prompts(model, pixels[: arguments.photos])
        if not lines:
            lines = [f"| | {' | '.join(map(str, range(1, len(shares) + 1)))} | even share |"]
            lines += ["| --- |" + " ---: |" * (len(shares) + 1)]
        cells = " | ".join(f"{share:.3f}" for share in shares)
        lines.append(f"| {source} | {cells} | {even[-1]:.3f} |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
