"""Embed lists of images or texts, with the interface of sentence-transformers."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from ..imaging import ImageLike
from ..vocabulary import Domain

Texts = str | Sequence[str]
Images = ImageLike | Sequence[ImageLike]


class EncodingModel(PreTrainedModel):
    """A model with `encode`, `encode_query`, `encode_document` and `similarity`."""

    similarity_fn_name = "cosine"
    """Features have length 1, so that their inner product is their cosine."""

    def encode(
        self,
        images: Images,
        domain: Domain = "photo",
        *,
        batch_size: int = 32,
        show_progress_bar: bool = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | Sequence[str] | None = None,
        **conditions,
    ) -> np.ndarray | Tensor:
        """Embed images: preprocess them with the processor of the model, and embed them in batches without gradients.

        Example:
            ```python
            model = SketchPromptModel.from_pretrained("mini-clip-at")
            photos = model.encode(["1.jpg", "2.jpg"])
            drawing = model.encode("drawing.png", "sketch")
            model.similarity(drawing, photos)  # (1, 2)
            ```

        Args:
            images: An image or a list of images: paths, PIL images, arrays; see `sketch_prompt.imaging.to_rgb`.
            domain: `"sketch"` or `"photo"`.
            batch_size: Number of images in a forward pass.
            show_progress_bar: Show a progress bar on stderr.
            convert_to_numpy: Return a float32 array, otherwise a tensor.
            convert_to_tensor: Return a tensor on the device of the model. Overrides `convert_to_numpy`.
            device: Device to embed on. Several devices embed shares of the images, each in its own process.
            conditions: Conditions of `get_photo_features`, such as `category` of DP-CLIP.

        Returns:
            (B, D), rows of length 1; (D,) for a single image that is not in a list.

        Raises:
            ValueError: There is no processor, or an image cannot be used; the message names it.
        """
        if self.processor is None:
            raise ValueError("this model has no processor: set model.processor to a SketchPromptProcessor")
        single = not isinstance(images, list | tuple)
        images = [images] if single else list(images)
        if device is not None and not isinstance(device, str):
            features = self._encode_on(list(device), images, domain, batch_size, conditions)
        else:
            if device is not None:
                self.to(device)
            features = self._encode_here(images, domain, batch_size, show_progress_bar, conditions)
        features = features[0] if single else features
        if convert_to_tensor:
            return features.to(self.device)
        return features.float().cpu().numpy() if convert_to_numpy else features

    def encode_query(self, sketches: Images, **options) -> np.ndarray | Tensor:
        """Embed sketches; see `encode`."""
        return self.encode(sketches, "sketch", **options)

    def encode_document(self, photos: Images, **options) -> np.ndarray | Tensor:
        """Embed photos; see `encode`."""
        return self.encode(photos, "photo", **options)

    def similarity(self, first: np.ndarray | Tensor, second: np.ndarray | Tensor) -> Tensor:
        """Cosine similarity of each row of the first (A, D) with each row of the second (B, D): (A, B)."""
        rows = [torch.atleast_2d(torch.as_tensor(features)) for features in (first, second)]
        unit = [torch.nn.functional.normalize(features.float(), dim=-1) for features in rows]
        return unit[0] @ unit[1].to(unit[0].device).T

    @torch.inference_mode()
    def _encode_here(
        self, images: list, domain: Domain, batch_size: int, show: bool, conditions: dict
    ) -> Tensor:
        embed = self.get_sketch_features if domain == "sketch" else self.get_photo_features
        prepare = self.processor.image_processor
        training = self.training
        self.eval()
        parts = []
        try:
            for start in tqdm(range(0, len(images), batch_size), desc="Embedding", disable=not show):
                pixels = prepare.stack(images[start : start + batch_size], domain, "images")
                parts.append(embed(pixels.to(self.device, self.dtype), **conditions).cpu())
        finally:
            self.train(training)
        if not parts:
            raise ValueError("images is an empty list: pass at least one")
        return torch.cat(parts)

    def _encode_on(
        self, devices: list[str], images: list, domain: Domain, batch_size: int, conditions: dict
    ) -> Tensor:
        """Every device embeds a share of the pictures, in order, in its own process."""
        bounds = np.linspace(0, len(images), len(devices) + 1).round().astype(int)
        shares = [images[a:b] for a, b in zip(bounds, bounds[1:])]
        _ = self.processor  # read here, once
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(len(devices), mp_context=context) as pool:
            futures = [
                pool.submit(_encode_share, self, device, share, domain, batch_size, conditions)
                for device, share in zip(devices, shares)
                if share
            ]
            return torch.from_numpy(np.concatenate([future.result() for future in futures]))


def _encode_share(
    model: EncodingModel, device: str, images: list, domain: Domain, batch_size: int, conditions: dict
) -> np.ndarray:
    return model.encode(images, domain, batch_size=batch_size, device=device, **conditions)
