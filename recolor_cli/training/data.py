"""Samples for training: encoded pictures to batches of lightness and true color.

What a sample looks like depends on the seed and its number alone, so that a resumed run sees what
an uninterrupted one would have seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor_cli.color.lab import rgb_to_lab_cv2, rgb_to_lightness
from recolor_cli.evaluation.aging import age
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.system.device import cpu_count
from recolor_cli.training.config import TrainConfig
from recolor_cli.training.yuv import rgb_to_uv
from recolor_cli.types import ColorSpace, FloatArray, RgbImage

PAD_LIGHTNESS = 50.0  # L*; about 0 after the encoder's own scaling, as its convolutions pad
_AHEAD = 3  # batches that are made while one is trained on


@dataclass(frozen=True, slots=True)
class Batch:
    """N samples.

    Parameters
    ----------
    lightness : float32 array, shape (N, 1, S, S), 0..100
    color : float32 array, shape (N, s, s, 2), s = S / output stride
        ab in CIELAB units, or UV, as the network's space is.
    inside : bool array, shape (N, s, s)
        False where there is padding.
    photograph : bool array, shape (N,)
        Whether it is one, by its name and the config's `photographs`.
    """

    lightness: FloatArray
    color: FloatArray
    inside: NDArray[np.bool_]
    photograph: NDArray[np.bool_]


# The samples of a batch, and which of them are photographs.
_Begun = tuple[list[Future[tuple[FloatArray, FloatArray, NDArray[np.bool_]]]], list[bool]]


def batches(
    pictures: Sequence[Picture],
    config: TrainConfig,
    output_stride: int,
    first_step: int,
    space: ColorSpace = ColorSpace.LAB,
) -> Generator[Batch, None, None]:
    """Yield the batches of a run without end, made ahead by threads.

    Parameters
    ----------
    pictures : sequence of Picture
    config : TrainConfig
    output_stride : int
        Of the network, px: how coarse the color is.
    first_step : int
        The step to begin with, for a run that is resumed.
    space : ColorSpace
        Of the color.
    """
    with ThreadPoolExecutor(cpu_count()) as pool:

        def submit(step: int) -> _Begun:
            numbers = range(step * config.batch_size, (step + 1) * config.batch_size)
            picked = [_picked(pictures, config.seed, n) for n in numbers]
            futures = [
                pool.submit(make_sample, picture, config, output_stride, n, space)
                for picture, n in zip(picked, numbers, strict=True)
            ]
            return futures, [picture.is_one_of(config.photographs) for picture in picked]

        queue = deque(submit(step) for step in range(first_step, first_step + _AHEAD))
        step = first_step + _AHEAD
        try:
            while True:
                futures, photograph = queue.popleft()
                samples = [future.result() for future in futures]
                queue.append(submit(step))
                step += 1
                lightness, color, inside = zip(*samples, strict=True)
                yield Batch(
                    np.stack(lightness), np.stack(color), np.stack(inside), np.array(photograph)
                )
        finally:
            for futures, _ in queue:
                for future in futures:
                    future.cancel()


def _picked(pictures: Sequence[Picture], seed: int, number: int) -> Picture:
    """Return the picture of a sample: each epoch has all of them, in an order of its own."""
    epoch, position = divmod(number, len(pictures))
    return pictures[int(_order(len(pictures), seed, epoch)[position])]


@lru_cache(maxsize=1)  # an epoch is not come back to
def _order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(count)


def make_sample(
    picture: Picture,
    config: TrainConfig,
    output_stride: int,
    number: int,
    space: ColorSpace = ColorSpace.LAB,
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Scale, crop and mirror one picture at random and take it apart.

    Returns
    -------
    lightness : float32 array, shape (1, S, S), 0..100
    color : float32 array, shape (s, s, 2)
        ab in CIELAB units, or UV, as `space` has it.
    inside : bool array, shape (s, s)

    Raises
    ------
    InputError
        If the picture cannot be decoded; it is named.

    Notes
    -----
    A picture that is smaller than the square after scaling is padded, as in a run; what is larger
    shows the network parts at the scale that a run has at its larger size.
    """
    random = np.random.default_rng((config.seed, 1, number))
    rgb = picture.rgb()
    low, high = config.long_side
    long_side = low * (high / low) ** random.random()  # uniform in the logarithm
    scale = long_side / max(rgb.shape[:2])
    height, width = (max(1, round(side * scale)) for side in rgb.shape[:2])
    scaled = cv2.resize(
        rgb, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    size = config.size
    # Where the crop begins; negative where there is padding before the picture.
    top, left = (
        int(random.integers(min(0, side - size), max(0, side - size) + 1))
        for side in (height, width)
    )
    rgb = cast(RgbImage, scaled)[max(0, top) : top + size, max(0, left) : left + size]
    if random.random() < 0.5:
        rgb = rgb[:, ::-1]
    rows = slice(max(0, -top), max(0, -top) + rgb.shape[0])
    columns = slice(max(0, -left), max(0, -left) + rgb.shape[1])

    lightness = np.full((size, size), PAD_LIGHTNESS, np.float32)
    lightness[rows, columns] = rgb_to_lightness(rgb)
    if random.random() < config.aged:  # the color to be learned stays that of the clean picture
        lightness[rows, columns] = age(lightness[rows, columns], random)
    # Labels as a run's answer lies: color of the picture made small, not small color of it.
    square = np.zeros((size, size, 3), np.uint8)
    square[rows, columns] = rgb
    covered = np.zeros((size, size), np.uint8)
    covered[rows, columns] = 255
    coarse = (size // output_stride, size // output_stride)
    small = cast(RgbImage, cv2.resize(square, coarse, interpolation=cv2.INTER_AREA))
    color = rgb_to_lab_cv2(small)[..., 1:] if space is ColorSpace.LAB else rgb_to_uv(small)
    inside = cv2.resize(covered, coarse, interpolation=cv2.INTER_AREA) == 255
    return lightness[None], np.ascontiguousarray(color), inside
