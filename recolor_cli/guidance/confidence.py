"""How sure a network is: the entropy of its distribution, as a figure and as a picture."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor_cli.color.annealed_mean import softmax
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.types import FloatArray, ImageSize, RgbImage

_SIDE = 1024  # px, the longest side of a map
_LEAST_WIDTH = 120  # px, that the words of the scale need
_BAR, _WORDS = 10, 18  # px, heights of the scale and of its words


def entropy(logits: FloatArray) -> FloatArray:
    """Return the entropy of a distribution at each place.

    Parameters
    ----------
    logits : float32 array, shape (Q, h, w)
        Unnormalised log-probabilities over the Q bins.

    Returns
    -------
    float32 array, shape (h, w)
        Nats: 0 where one bin is certain, ln(Q) where all are as likely.
    """
    p = softmax(logits)
    nats: FloatArray = -(p * np.log(np.maximum(p, np.float32(1e-30)))).sum(axis=0)
    return nats


def confidence_map(nats: FloatArray, box: Letterbox, most: float) -> RgbImage:
    """Draw entropy as a picture with its scale below.

    Parameters
    ----------
    nats : float32 array, shape (h, w)
        Entropy over the letterboxed square.
    box : Letterbox
        Of the picture.
    most : float
        ln(Q), the end of the scale, nats. It is the same for all pictures of a model, so that
        maps can be compared.

    Returns
    -------
    uint8 array, shape (H, W, 3)
        sRGB, viridis: dark blue is certain, yellow is a guess. It has the picture's shape, with a
        longest side of at most 1024 px, and the scale.
    """
    longest = max(box.source.height, box.source.width)
    share = min(1.0, _SIDE / longest)
    size = ImageSize(
        max(1, round(box.source.height * share)), max(1, round(box.source.width * share))
    )
    plane = replace(box, source=size).invert(nats[..., None])[..., 0]
    scale = np.broadcast_to(np.linspace(0, most, size.width, dtype=np.float32), (_BAR, size.width))
    words: NDArray[np.uint8] = np.full((_WORDS, size.width, 3), 255, np.uint8)
    if size.width >= _LEAST_WIDTH:
        _write(words, "0", 2)
        end = f"{most:.1f} nats"
        _write(words, end, size.width - 2 - cv2.getTextSize(end, _FONT, _FONT_SCALE, 1)[0][0])
    return np.vstack((_colored(plane, most), _colored(scale, most), words))


_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.42


def _write(strip: NDArray[np.uint8], text: str, left: int) -> None:
    cv2.putText(strip, text, (left, _WORDS - 5), _FONT, _FONT_SCALE, (0, 0, 0), 1, cv2.LINE_AA)


def _colored(nats: FloatArray, most: float) -> RgbImage:
    levels = np.rint(np.clip(nats / np.float32(most), 0, 1) * 255).astype(np.uint8)
    bgr = cv2.applyColorMap(np.ascontiguousarray(levels), cv2.COLORMAP_VIRIDIS)
    return np.ascontiguousarray(bgr[..., ::-1])
