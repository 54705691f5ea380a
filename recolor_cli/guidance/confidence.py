"""Compute and draw how sure a network is: the entropy of its distribution."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor_cli.color.annealed_mean import softmax
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.color.resize import shrunk_size
from recolor_cli.types import FloatArray, RgbImage

_MAX_SIDE = 1024  # px, of a map
_MIN_LABEL_WIDTH = 120  # px; narrower maps have a scale without labels
_SCALE_HEIGHT, _LABEL_HEIGHT = 10, 18  # px
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.42


def entropy(logits: FloatArray) -> FloatArray:
    """Return the entropy of a distribution at each place.

    Parameters
    ----------
    logits : float32 array, shape (Q, h, w)
        Unnormalised log-probabilities over the Q bins.

    Returns
    -------
    float32 array, shape (h, w)
        Nats: 0 where one bin is certain, ln(Q) where all are equally likely.
    """
    p = softmax(logits)
    nats: FloatArray = -(p * np.log(np.maximum(p, np.float32(1e-30)))).sum(axis=0)
    return nats


def confidence_map(nats: FloatArray, letterbox: Letterbox, max_nats: float) -> RgbImage:
    """Draw entropy as a picture with its scale below.

    Parameters
    ----------
    nats : float32 array, shape (h, w)
        Entropy over the letterboxed canvas.
    letterbox : Letterbox
        Of the picture.
    max_nats : float
        End of the scale: ln(Q). It is the same for all pictures of a model, so that maps can be
        compared.

    Returns
    -------
    uint8 array, shape (H, W, 3)
        sRGB, viridis: dark blue is certain, yellow is a guess. The picture's shape, with a longest
        side of at most 1024 px, and the scale below it, of 28 px.
    """
    size = shrunk_size(letterbox.source, _MAX_SIDE)
    plane = replace(letterbox, source=size).invert(nats[..., None])[..., 0]
    scale = np.linspace(0, max_nats, size.width, dtype=np.float32)
    bar = np.broadcast_to(scale, (_SCALE_HEIGHT, size.width))
    labels: NDArray[np.uint8] = np.full((_LABEL_HEIGHT, size.width, 3), 255, np.uint8)
    if size.width >= _MIN_LABEL_WIDTH:
        _draw_text(labels, "0", 2)
        end = f"{max_nats:.1f} nats"
        text_width = cv2.getTextSize(end, _FONT, _FONT_SCALE, 1)[0][0]
        _draw_text(labels, end, size.width - 2 - text_width)
    return np.vstack((_apply_colormap(plane, max_nats), _apply_colormap(bar, max_nats), labels))


def _draw_text(labels: NDArray[np.uint8], text: str, left: int) -> None:
    place = left, _LABEL_HEIGHT - 5
    cv2.putText(labels, text, place, _FONT, _FONT_SCALE, (0, 0, 0), 1, cv2.LINE_AA)


def _apply_colormap(nats: FloatArray, max_nats: float) -> RgbImage:
    levels = np.rint(np.clip(nats / np.float32(max_nats), 0, 1) * 255).astype(np.uint8)
    bgr = cv2.applyColorMap(np.ascontiguousarray(levels), cv2.COLORMAP_VIRIDIS)
    return np.ascontiguousarray(bgr[..., ::-1])
