"""ONNX: the encoders of sketches and photos for programs without torch.

sketch_encoder.onnx, photo_encoder.onnx  pixel_values (batch, 3, size, size) -> features (batch, D) of length 1
preprocessor_config.json                 how pictures become pixel values
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sketch_prompt.metrics import evaluate_retrieval
from sketch_prompt.vocabulary import TEST_SPLITS, Domain

ENCODERS: dict[Domain, str] = {"sketch": "sketch_encoder.onnx", "photo": "photo_encoder.onnx"}
_OPSET = 18
_NEEDED = "pip install 'sketch-prompt[onnx]'"


class Encoder(nn.Module):
    """One encoder of a model as a module of its own: pixel values in, features out.

    Args:
        model: a sketch-prompt model in eval mode.
        domain: what it embeds.
    """

    def __init__(self, model, domain: Domain):
        super().__init__()
        self.model = model.eval()
        self.embed = model.get_sketch_features if domain == "sketch" else model.get_photo_features

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D)"""
        return self.embed(pixel_values)


def export_onnx(model, directory: str | os.PathLike, int8: bool = False) -> dict[Domain, Path]:
    """Write both encoders of a model as ONNX, and its processor's configuration.

    A method that embeds under a category is exported as it embeds without one.

    Args:
        model: a sketch-prompt model with a processor.
        directory: where to; made if absent.
        int8: quantise weights of matrix products to 8 bits: smaller files, other last digits.

    Returns:
        The file of each domain.

    Raises:
        ValueError: the packages for it are not installed, or the model has no processor.
    """
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(f"exporting needs {error.name}: {_NEEDED}") from error
    if model.processor is None:
        raise ValueError("this model has no processor: set model.processor to a SketchPromptProcessor")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    size = model.processor.image_processor.size
    example = torch.zeros(2, 3, size, size, dtype=model.dtype, device=model.device)
    files = {}
    for domain, name in ENCODERS.items():
        encoder = Encoder(model, domain).eval()
        with torch.no_grad():
            encoder(example)  # what a method keeps is made now, and becomes constants of the graph
            program = torch.onnx.export(
                encoder,
                (example,),
                input_names=["pixel_values"],
                output_names=["features"],
                dynamic_shapes={"pixel_values": {0: torch.export.Dim("batch")}},
                opset_version=_OPSET,
                dynamo=True,
                verbose=False,
            )
        files[domain] = directory / name
        program.save(files[domain], external_data=False)
        if int8:
            _quantise(files[domain])
    model.processor.image_processor.to_json_file(directory / "preprocessor_config.json")
    return files


def _quantise(path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    full = path.with_suffix(".full.onnx")
    path.rename(full)
    quantize_dynamic(full, path, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])
    full.unlink()


class OnnxEncoders:
    """The encoders in a folder, run by onnxruntime.

    Example:
        ```python
        export_onnx(model, "onnx")
        encoders = OnnxEncoders("onnx")
        ```

    Args:
        directory: what `export_onnx` wrote.

    Raises:
        ValueError: onnxruntime is not installed.
        FileNotFoundError: the folder holds no encoders.
    """

    def __init__(self, directory: str | os.PathLike):
        try:
            import onnxruntime
        except ImportError as error:
            raise ValueError(f"running ONNX needs onnxruntime: {_NEEDED}") from error
        from sketch_prompt.processing import SketchPromptImageProcessor

        missing = [name for name in ENCODERS.values() if not (Path(directory) / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{directory} holds no {' and no '.join(missing)}; sketch-prompt export writes them"
            )
        self.processor = SketchPromptImageProcessor.from_pretrained(directory)
        self.sessions = {
            domain: onnxruntime.InferenceSession(
                str(Path(directory) / name), providers=onnxruntime.get_available_providers()
            )
            for domain, name in ENCODERS.items()
        }

    def embed(self, pixel_values: np.ndarray, domain: Domain) -> np.ndarray:
        """Pixel values (B, 3, size, size) -> features (B, D)."""
        return self.sessions[domain].run(None, {"pixel_values": np.asarray(pixel_values, np.float32)})[0]

    def encode(self, images: list, domain: Domain = "photo", batch_size: int = 32) -> np.ndarray:
        """Pictures, as the processor takes them -> features (B, D)."""
        parts = [
            self.embed(self.processor.stack(images[n : n + batch_size], domain, "images").numpy(), domain)
            for n in range(0, len(images), batch_size)
        ]
        return np.concatenate(parts)

    def evaluate(self, benchmark: Mapping[str, Any], **options) -> dict[str, float]:
        """Category-level metrics on a benchmark's unseen classes, see `evaluate_retrieval`."""
        features, labels = {}, {}
        for domain, split in TEST_SPLITS.items():
            table = benchmark[split]
            parts = [self.encode(list(rows["image"]), domain) for rows in table.iter(64)]
            features[domain], labels[domain] = np.concatenate(parts), np.array(table["label"][:])
        return evaluate_retrieval(
            features["sketch"], features["photo"], labels["sketch"], labels["photo"], **options
        )
