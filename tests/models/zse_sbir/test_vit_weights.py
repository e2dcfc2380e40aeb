"""A published vision transformer is read as what it is, in every form it is published in."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from fakes.clip import images
from sketch_prompt import ZseSbirModel
from sketch_prompt.models.zse_sbir.vision_transformer import VisionTransformer
from sketch_prompt.models.zse_sbir.vit_weights import read_vit
from sketch_prompt.processing import SketchPromptProcessor

WIDTH, HEADS, MLP, PATCH, GRID, LAYERS = 128, 2, 96, 8, 4, 2


def original_arrays(seed=0):
    """Random weights as the original code saves them: flax's names, matrices that multiply from the right."""
    rng = np.random.default_rng(seed)

    def draw(*shape, scale=0.2):
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    arrays = {
        "cls": draw(1, 1, WIDTH),
        "embedding/kernel": draw(PATCH, PATCH, 3, WIDTH, scale=0.1),
        "embedding/bias": draw(WIDTH),
        "Transformer/posembed_input/pos_embedding": draw(1, 1 + GRID**2, WIDTH),
        "Transformer/encoder_norm/scale": 1 + draw(WIDTH),
        "Transformer/encoder_norm/bias": draw(WIDTH),
        "head/kernel": draw(WIDTH, 5),
        "head/bias": draw(5),
    }
    for i in range(LAYERS):
        block = f"Transformer/encoderblock_{i}"
        for norm in ("LayerNorm_0", "LayerNorm_2"):
            arrays |= {f"{block}/{norm}/scale": 1 + draw(WIDTH), f"{block}/{norm}/bias": draw(WIDTH)}
        attention = f"{block}/MultiHeadDotProductAttention_1"
        for part in ("query", "key", "value"):
            arrays[f"{attention}/{part}/kernel"] = draw(WIDTH, HEADS, WIDTH // HEADS)
            arrays[f"{attention}/{part}/bias"] = draw(HEADS, WIDTH // HEADS)
        arrays[f"{attention}/out/kernel"] = draw(HEADS, WIDTH // HEADS, WIDTH)
        arrays[f"{attention}/out/bias"] = draw(WIDTH)
        for dense, before, after in (("Dense_0", WIDTH, MLP), ("Dense_1", MLP, WIDTH)):
            arrays[f"{block}/MlpBlock_3/{dense}/kernel"] = draw(before, after)
            arrays[f"{block}/MlpBlock_3/{dense}/bias"] = draw(after)
    return arrays


def original_tokens(arrays, pixels, eps=1e-6):
    """The ViT of Dosovitskiy et al. written down from the original's arrays: (B, 3, H, W) -> (B, 1 + P, d)."""
    a = {name: torch.from_numpy(value).double() for name, value in arrays.items()}

    def norm(x, name):
        spread = (x.var(-1, unbiased=False, keepdim=True) + eps).sqrt()
        return (x - x.mean(-1, keepdim=True)) / spread * a[f"{name}/scale"] + a[f"{name}/bias"]

    cut = pixels.double().unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)  # B 3 g g p p
    x = torch.einsum("bcyxij,ijcd->byxd", cut, a["embedding/kernel"]) + a["embedding/bias"]
    x = torch.cat([a["cls"].expand(len(x), 1, -1), x.flatten(1, 2)], 1)
    x = x + a["Transformer/posembed_input/pos_embedding"]
    for i in range(LAYERS):
        block = f"Transformer/encoderblock_{i}"
        attention = f"{block}/MultiHeadDotProductAttention_1"
        y = norm(x, f"{block}/LayerNorm_0")
        q, k, v = (
            torch.einsum("btd,dhe->bhte", y, a[f"{attention}/{part}/kernel"])
            + a[f"{attention}/{part}/bias"][:, None]
            for part in ("query", "key", "value")
        )
        mixed = ((q @ k.mT) * (WIDTH // HEADS) ** -0.5).softmax(-1) @ v
        x = (
            x
            + torch.einsum("bhte,hed->btd", mixed, a[f"{attention}/out/kernel"])
            + a[f"{attention}/out/bias"]
        )
        y = norm(x, f"{block}/LayerNorm_2")
        y = y @ a[f"{block}/MlpBlock_3/Dense_0/kernel"] + a[f"{block}/MlpBlock_3/Dense_0/bias"]
        y = torch.nn.functional.gelu(y)
        x = x + y @ a[f"{block}/MlpBlock_3/Dense_1/kernel"] + a[f"{block}/MlpBlock_3/Dense_1/bias"]
    return norm(x, "Transformer/encoder_norm").float()


def packed(arrays, names):
    """The same weights under PyTorch names; `names` maps timm's to those wanted."""
    a = {name: torch.from_numpy(value) for name, value in arrays.items()}
    timm = {
        "cls_token": a["cls"],
        "pos_embed": a["Transformer/posembed_input/pos_embedding"],
        "patch_embed.proj.weight": a["embedding/kernel"].permute(3, 2, 0, 1).contiguous(),
        "patch_embed.proj.bias": a["embedding/bias"],
        "norm.weight": a["Transformer/encoder_norm/scale"],
        "norm.bias": a["Transformer/encoder_norm/bias"],
        "head.weight": a["head/kernel"].T.contiguous(),
        "head.bias": a["head/bias"],
    }
    for i in range(LAYERS):
        block, ours = f"Transformer/encoderblock_{i}", f"blocks.{i}"
        attention = f"{block}/MultiHeadDotProductAttention_1"
        parts = ("query", "key", "value")
        kernels = [a[f"{attention}/{part}/kernel"].reshape(WIDTH, WIDTH).T for part in parts]
        timm |= {
            f"{ours}.attn.qkv.weight": torch.cat(kernels),
            f"{ours}.attn.qkv.bias": torch.cat([a[f"{attention}/{part}/bias"].flatten() for part in parts]),
            f"{ours}.attn.proj.weight": a[f"{attention}/out/kernel"].reshape(WIDTH, WIDTH).T.contiguous(),
            f"{ours}.attn.proj.bias": a[f"{attention}/out/bias"],
        }
        for theirs, name in (("LayerNorm_0", "norm1"), ("LayerNorm_2", "norm2")):
            timm[f"{ours}.{name}.weight"] = a[f"{block}/{theirs}/scale"]
            timm[f"{ours}.{name}.bias"] = a[f"{block}/{theirs}/bias"]
        for theirs, name in (("Dense_0", "fc1"), ("Dense_1", "fc2")):
            timm[f"{ours}.mlp.{name}.weight"] = a[f"{block}/MlpBlock_3/{theirs}/kernel"].T.contiguous()
            timm[f"{ours}.mlp.{name}.bias"] = a[f"{block}/MlpBlock_3/{theirs}/bias"]
    return {names(name): value for name, value in timm.items()}


def reference_name(timm: str) -> str:
    """timm's name of a parameter as ZSE-SBIR's code has it."""
    for theirs, reference in (
        ("patch_embed.proj", "embedding"),
        ("pos_embed", "pos_embedding"),
        ("cls_token", "cls"),
        ("head", "mlp_head"),
        ("attn.qkv", "attention.to_qkv"),
        ("attn.proj", "attention.to_out.0"),
        ("norm1", "layer_norm_input"),
        ("norm2", "layer_norm_out"),
        ("mlp.fc1", "mlp.net.0"),
        ("mlp.fc2", "mlp.net.3"),
    ):
        timm = timm.replace(theirs, reference)
    if timm.startswith("blocks."):
        _, number, rest = timm.split(".", 2)
        return f"transformer.layers.{number}.0.{rest}"
    return timm.replace("norm.", "transformer.encoder_norm.") if timm.startswith("norm.") else timm


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The same weights in every form, by its name."""
    folder = tmp_path_factory.mktemp("published")
    arrays = original_arrays()
    np.savez(folder / "ViT.npz", **arrays)
    with_optimizer = {f"opt/target/{name}": value for name, value in arrays.items()}
    np.savez(folder / "trained.npz", **with_optimizer, **{"opt/state/step": np.array(3)})
    timm = packed(arrays, str)
    save_file(timm, folder / "timm.safetensors")
    torch.save(timm, folder / "timm.pth")
    torch.save(packed(arrays, reference_name), folder / "sam_ViT-B_16.pth")
    torch.save({"state_dict": timm}, folder / "nested.bin")
    repository = folder / "repository"
    repository.mkdir()
    save_file(timm, repository / "model.safetensors")
    trained = {"input_size": [3, 32, 32], "mean": [0.5, 0.4, 0.5], "std": [0.5, 0.5, 0.6]}
    described = {"architecture": "vit_tiny", "pretrained_cfg": trained}
    (repository / "config.json").write_text(json.dumps(described))
    return folder


FORMS = [
    "ViT.npz",
    "trained.npz",
    "timm.safetensors",
    "timm.pth",
    "nested.bin",
    "sam_ViT-B_16.pth",
    "repository",
]


@pytest.mark.parametrize("form", FORMS)
def test_a_vit_computes_what_the_original_does_whatever_form_it_comes_in(published, form):
    model = ZseSbirModel.from_base_model(
        str(published / form), backbone="vit", tokenizer_domains="none"
    ).eval()
    tower = model.config.vision_config
    assert (tower.image_size, tower.patch_size, tower.num_attention_heads) == (32, PATCH, HEADS)
    with torch.no_grad():
        tokens = model.encode_tokens(images(2), "photo")
    eps = 1e-5 if form.startswith("sam_") else 1e-6  # torch's and jax's LayerNorm
    assert_close(tokens, original_tokens(original_arrays(), images(2), eps), atol=2e-5, rtol=1e-4)
    assert str(published) not in str(model.config.base_model) or form == "repository"


def test_the_archive_tells_the_number_of_heads_whatever_their_width(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "HEADS", 4)
    np.savez(tmp_path / "ViT.npz", **original_arrays())
    model = VisionTransformer.from_vit(tmp_path / "ViT.npz")
    assert model.config.num_attention_heads == 4


def test_images_are_prepared_as_the_weights_were_pretrained(published):
    of_file = SketchPromptProcessor.from_base_model(str(published / "ViT.npz")).image_processor
    assert (of_file.size, of_file.image_mean, of_file.image_std) == (224, [0.5] * 3, [0.5] * 3)
    of_timm = SketchPromptProcessor.from_base_model(str(published / "repository"))
    assert of_timm.tokenizer is None and of_timm.image_processor.size == 32
    assert of_timm.image_processor.image_mean == [0.5, 0.4, 0.5]
    other = SketchPromptProcessor.from_base_model(str(published / "repository"), normalization="half")
    assert other.image_processor.image_mean == [0.5] * 3


def test_what_is_no_plain_vit_is_refused_by_name(published, tmp_path):
    state = packed(original_arrays(), str)
    torch.save({**state, "blocks.0.ls1.gamma": torch.ones(3)}, tmp_path / "scaled.pth")
    with pytest.raises(ValueError, match=r"scaled.pth is not a plain ViT: it has blocks\.0\.ls1\.gamma"):
        read_vit(tmp_path / "scaled.pth")
    torch.save({name: value for name, value in state.items() if "fc2" not in name}, tmp_path / "part.pth")
    with pytest.raises(ValueError, match=r"has no tensor 'blocks\.0\.mlp\.fc2\.weight'"):
        read_vit(tmp_path / "part.pth")
    arrays = original_arrays()
    del arrays["Transformer/encoderblock_1/MlpBlock_3/Dense_0/kernel"]
    np.savez(tmp_path / "part.npz", **arrays)
    with pytest.raises(ValueError, match="no array 'Transformer/encoderblock_1/MlpBlock_3/Dense_0/kernel'"):
        read_vit(tmp_path / "part.npz")
    for name in ("torn.npz", "torn.pth", "torn.safetensors"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 not all of it")
        with pytest.raises(ValueError, match=rf"{name} is damaged"):
            read_vit(tmp_path / name)
    torch.save({"weight": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="has no ViT with the names of timm, of its original or of ZSE-SBIR"):
        read_vit(tmp_path / "other.pth")
    with pytest.raises(ValueError, match="not have a single file with the weights of a ViT"):
        read_vit(published)
    with pytest.raises(FileNotFoundError):
        read_vit(tmp_path / "nowhere.npz")


def test_a_model_of_timm_gives_the_same_tokens_here(tmp_path):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    theirs = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=128, depth=2, num_heads=2, mlp_ratio=1.5, num_classes=5
    ).eval()
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    with torch.no_grad():
        expected = theirs.forward_features(images(2))
        model = ZseSbirModel.from_base_model(
            str(tmp_path / "model.safetensors"), backbone="vit", tokenizer_domains="none"
        )
        assert_close(model.eval().encode_tokens(images(2), "photo"), expected, atol=1e-5, rtol=1e-5)


def test_timm_and_we_read_the_same_out_of_the_originals_archive(published):
    timm = pytest.importorskip("timm")
    theirs = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=128, depth=2, num_heads=2, mlp_ratio=0.75, num_classes=5
    ).eval()
    theirs.load_pretrained(str(published / "ViT.npz"))
    ours = VisionTransformer.from_vit(published / "ViT.npz")
    model = ZseSbirModel.from_base_model(
        str(published / "ViT.npz"), backbone="vit", tokenizer_domains="none"
    ).eval()
    with torch.no_grad():
        expected = theirs.forward_features(images(2))
        assert_close(model.encode_tokens(images(2), "photo"), expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(
        ours.state_dict()["embeddings.patch_embedding.weight"], theirs.state_dict()["patch_embed.proj.weight"]
    )
