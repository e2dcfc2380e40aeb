"""Export the encoders of sketches and photos to ONNX, for programs without torch.

sketch_encoder.onnx, photo_encoder.onnx  pixel_values (batch, 3, size, size) -> L2-normalised features (batch, D)
preprocessor_config.json                 the preprocessing of images
exported.json                            the model they come from, and the type they compute with
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sketch_prompt.preprocessing import ImagePreprocessing
from sketch_prompt.vocabulary import TEST_SPLITS, Domain

FACTS = "exported.json"
PREPROCESSING = "preprocessor_config.json"
ENCODERS: dict[Domain, str] = {"sketch": "sketch_encoder.onnx", "photo": "photo_encoder.onnx"}
_OPSET = 18
_NEEDED = "pip install 'sketch-prompt[onnx]'"


class Encoder(nn.Module):
    """An encoder of a model as a module, from pixel values to features.

    Args:
        model: A sketch-prompt model in eval mode.
        domain: "sketch" or "photo".
    """

    def __init__(self, model, domain: Domain):
        super().__init__()
        self.model = model.eval()
        self.embed = model.get_sketch_features if domain == "sketch" else model.get_photo_features

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D)"""
        return self.embed(pixel_values)


def export_onnx(model, directory: str | os.PathLike, int8: bool = False) -> dict[Domain, Path]:
    """Export both encoders of a model to ONNX, with the configuration of its processor.

    A method with conditions is exported as it embeds without a category.

    Args:
        model: A sketch-prompt model with a processor.
        directory: Folder to write to. Created if it does not exist.
        int8: Quantise the weights of matrix products to 8 bits, for smaller files. Features change slightly.

    Returns:
        The file of each domain.

    Raises:
        ValueError: A package is not installed, or the model has no processor.
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
            encoder(example)  # cached tensors are computed now and become constants of the graph
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
    model.processor.image_processor.to_json_file(directory / PREPROCESSING)
    computed_in = {"computed_in": "int8"} if int8 else {}
    facts = {**model.describe_weights(), "engine": "onnx", **computed_in}
    (directory / FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return files


def _quantise(path: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    full = onnx.load(path)
    del full.graph.value_info[
        :
    ]  # shapes that no longer hold once weights are transposed, which small towers need
    quantize_dynamic(full, path, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])


class OnnxEncoders:
    """The encoders in a folder, run by onnxruntime.

    Example:
        ```python
        export_onnx(model, "onnx")
        encoders = OnnxEncoders("onnx")
        ```

    They use as many threads as torch does.

    Args:
        directory: A folder that `export_onnx` wrote.
        device: "cpu"; by default the first of `onnxruntime.get_available_providers()`.

    Raises:
        ValueError: onnxruntime is not installed.
        FileNotFoundError: The folder has no encoders.
    """

    def __init__(self, directory: str | os.PathLike, device: str | None = None):
        try:
            import onnxruntime
        except ImportError as error:
            raise ValueError(f"running ONNX needs onnxruntime: {_NEEDED}") from error
        missing = [name for name in ENCODERS.values() if not (Path(directory) / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{directory} has no {' and no '.join(missing)}; sketch-prompt export writes them"
            )
        self.processor = ImagePreprocessing.read(Path(directory) / PREPROCESSING)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        providers = ["CPUExecutionProvider"] if device == "cpu" else onnxruntime.get_available_providers()
        self.sessions = {
            domain: onnxruntime.InferenceSession(str(Path(directory) / name), options, providers=providers)
            for domain, name in ENCODERS.items()
        }

    def embed(self, pixel_values: np.ndarray, domain: Domain) -> np.ndarray:
        """Pixel values (B, 3, size, size) -> features (B, D)."""
        return self.sessions[domain].run(None, {"pixel_values": np.asarray(pixel_values, np.float32)})[0]

    def encode(self, images: list, domain: Domain = "photo", batch_size: int = 32) -> np.ndarray:
        """Images, as the processor takes them -> features (B, D)."""
        parts = [
            self.embed(self.processor.stack(images[n : n + batch_size], domain, "images").numpy(), domain)
            for n in range(0, len(images), batch_size)
        ]
        return np.concatenate(parts)

    def evaluate(self, benchmark: Mapping[str, Any], **options) -> dict[str, float]:
        """Category-level metrics on the unseen classes of a benchmark; see `evaluate_retrieval`."""
        from sketch_prompt.metrics import evaluate_retrieval

        features, labels = {}, {}
        for domain, split in TEST_SPLITS.items():
            table = benchmark[split]
            parts = [self.encode(list(rows["image"]), domain) for rows in table.iter(64)]
            features[domain], labels[domain] = np.concatenate(parts), np.array(table["label"][:])
        return evaluate_retrieval(
            features["sketch"], features["photo"], labels["sketch"], labels["photo"], **options
        )
