"""A model that keeps the contract in a dozen lines, and a benchmark it can tell apart: coloured squares."""

from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

SEEN, UNSEEN = ["car", "cup"], ["bee", "door", "t shirt"]
COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30), (30, 200, 200)]


class TinyModel(torch.nn.Module):
    """Embeds an image by a random projection of its pixels."""

    method = "tiny"

    def __init__(self, class_names=tuple(SEEN)):
        super().__init__()
        self.config = SimpleNamespace(class_names=list(class_names), name_or_path="tiny-checkpoint")
        generator = torch.Generator().manual_seed(0)
        self.projection = torch.nn.Parameter(torch.randn(3 * 8 * 8, 16, generator=generator))
        self.dropout = torch.nn.Dropout(0.5)
        self.batches = []

    def get_photo_features(self, pixel_values):
        self.batches.append(len(pixel_values))
        features = self.dropout(pixel_values.flatten(1)) @ self.projection
        return torch.nn.functional.normalize(features, dim=-1)

    def get_sketch_features(self, pixel_values):
        return self.get_photo_features(pixel_values)


class TinyProcessor:
    """8 x 8 pixels in 0..1."""

    image_processor = SimpleNamespace(to_dict=lambda: {"size": 8})

    def preprocess(self, image, domain):
        pixels = np.asarray(image.convert("RGB").resize((8, 8)), np.float32) / 255
        return torch.from_numpy(pixels).permute(2, 0, 1)


def write_benchmark(folder: Path, photos: int = 6, sketches: int = 3) -> datasets.DatasetDict:
    """PNG files and the table of their paths; a class has a colour of its own, blurred by noise."""
    generator = np.random.default_rng(0)
    for domain, count in (("sketch", sketches), ("photo", photos)):
        for name, colour in zip(SEEN + UNSEEN, COLOURS):
            (folder / domain / name).mkdir(parents=True)
            for number in range(count):
                noise = generator.integers(0, 160, (10, 12, 3))
                pixels = ((noise + colour) // 2).astype(np.uint8)
                Image.fromarray(pixels).save(folder / domain / name / f"{number}.png")
    return read_benchmark(folder)


def read_benchmark(folder: Path) -> datasets.DatasetDict:
    """What `load_benchmark` gives: four tables with the columns image, label, instance_id and domain."""
    features = datasets.Features(
        image=datasets.Image(),
        label=datasets.ClassLabel(names=SEEN + UNSEEN),
        instance_id=datasets.Value("string"),
        domain=datasets.Value("string"),
    )
    tables = datasets.DatasetDict()
    for split, names in (("train", SEEN), ("test", UNSEEN)):
        for domain in ("sketch", "photo"):
            rows = [
                {"image": str(path), "label": name, "instance_id": f"{name}-{path.stem}", "domain": domain}
                for name in names
                for path in sorted((folder / domain / name).iterdir())
            ]
            tables[f"{split}_{domain}"] = datasets.Dataset.from_list(rows, features=features)
    return tables


def write_clip(folder: Path) -> Path:
    """A randomly initialised CLIP of a few thousand parameters, as `from_pretrained` reads it; no tokenizer."""
    tower = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = CLIPConfig(
        vision_config=tower | {"image_size": 16, "patch_size": 8},
        text_config=tower
        | {
            "vocab_size": 99,
            "max_position_embeddings": 16,
            "bos_token_id": 97,
            "eos_token_id": 98,
            "pad_token_id": 0,
        },
        projection_dim=16,
    )
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(
        folder
    )
    return folder


class TinyPairModel(TinyModel):
    """Also scores pairs, by another projection of the same pixels, and counts what it is asked."""

    method = "tiny-pairs"
    has_reranker = True
    dtype = torch.float32
    clip = None

    def __init__(self, seed=1, **kwargs):
        super().__init__(**kwargs)
        generator = torch.Generator().manual_seed(seed)
        self.pair_projection = torch.nn.Parameter(torch.randn(3 * 8 * 8, 16, generator=generator))
        self.encoded, self.pairs = 0, 0

    def adapter_tensors(self):
        return dict(self.named_parameters())

    def encode_tokens(self, pixel_values, domain):
        self.encoded += len(pixel_values)
        return pixel_values.flatten(2)

    def pool_tokens(self, tokens, domain):
        return self.get_photo_features(tokens)

    def prepare_pairs(self, tokens, domain):
        return {"projected": torch.nn.functional.normalize(tokens.flatten(1) @ self.pair_projection, dim=-1)}

    def score_prepared(self, sketches, photos):
        self.pairs += len(sketches["projected"]) * len(photos["projected"])
        return sketches["projected"] @ photos["projected"].T
