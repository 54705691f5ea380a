"""Turn encoded pictures into batches of lightness and true color.

A sample depends on the seed and on its number alone, so that a resumed run sees the samples of an
uninterrupted one.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor_cli.color.lab import rgb_to_lab_cv2, rgb_to_lightness
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.errors import InputError, NoInputsError
from recolor_cli.evaluation.aging import age
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.system.device import cpu_count
from recolor_cli.training.config import TrainConfig
from recolor_cli.training.networks.efficientnet_unet import EfficientNetUNet
from recolor_cli.training.picture_order import PictureOrder
from recolor_cli.training.yuv import rgb_to_uv
from recolor_cli.types import ColorSpace, FloatArray, ImageSize, RgbImage

PAD_LIGHTNESS = 50.0  # L*; the encoder scales it to about 0, with which its convolutions pad
_PREFETCH_DEPTH = 3  # batches


class Sample(NamedTuple):
    """A crop of a picture, or a whole one.

    Parameters
    ----------
    lightness : float32 array, shape (1, H, W)
        L*, 0..100.
    color : float32 array, shape (h, w, 2), those of `lightness` by the output stride
        ab in CIELAB units, or UV.
    inside : bool array, shape (h, w)
        False on padding.
    """

    lightness: FloatArray
    color: FloatArray
    inside: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Batch:
    """N samples of one shape, stacked.

    `photograph`, bool (N,), tells which pictures are photographs, by their names and the config.
    """

    lightness: FloatArray
    color: FloatArray
    inside: NDArray[np.bool_]
    photograph: NDArray[np.bool_]


def select_pictures(pictures: Sequence[Picture], parts: Sequence[str]) -> list[Picture]:
    """Return the pictures whose name contains one of `parts`, or all where there are no parts.

    Raises
    ------
    NoInputsError
        If no name does.
    """
    kept = [p for p in pictures if not parts or p.is_one_of(parts)]
    if not kept:
        raise NoInputsError(
            f"no picture's name contains {' or '.join(parts)}", "change `only` in the config"
        )
    return kept


def batches(
    pictures: Sequence[Picture],
    config: TrainConfig,
    output_stride: int,
    first_step: int,
    space: ColorSpace = ColorSpace.LAB,
    warn: Callable[[str], None] = lambda message: None,
) -> Generator[list[Batch], None, None]:
    """Yield the samples of each step of a run, from a step on, without end.

    Those of a step are one batch, but whole pictures are one batch for each shape of their canvas.
    Threads make them in advance.

    `output_stride` is the number of px of the input for each px of the color. A picture is read
    only when a sample of it is made. If it cannot be read, its samples are left out, and `warn`
    gets its name, once.

    Raises
    ------
    InputError
        If no picture of a step can be read.
    """
    order = PictureOrder(pictures, config)
    unreadable: dict[str, InputError] = {}  # by the names of their pictures
    with ThreadPoolExecutor(cpu_count()) as pool:

        def submit(step: int) -> list[tuple[Picture, Future[Sample]]]:
            pending = []
            for number in range(step * config.batch_size, (step + 1) * config.batch_size):
                picture = pictures[order.picture_of(number)]
                sample = pool.submit(make_sample, picture, config, output_stride, number, space)
                pending.append((picture, sample))
            return pending

        queue = deque(submit(first_step + ahead) for ahead in range(_PREFETCH_DEPTH))
        try:
            for step in itertools.count(first_step + _PREFETCH_DEPTH):
                pending = queue.popleft()
                samples = []
                for picture, sample in pending:
                    try:
                        samples.append((sample.result(), picture))
                    except InputError as error:  # one of many must not end a run of days
                        if picture.name not in unreadable:
                            warn(f"{error.message}; its samples are left out")
                        unreadable[picture.name] = error
                if not samples:
                    raise unreadable[pending[-1][0].name]
                queue.append(submit(step))
                yield _stack(samples, config)
        finally:
            for pending in queue:
                for _, sample in pending:
                    sample.cancel()


def _stack(samples: Sequence[tuple[Sample, Picture]], config: TrainConfig) -> list[Batch]:
    """Return a batch for each shape of the samples."""
    of_shape: dict[tuple[int, ...], list[tuple[Sample, bool]]] = {}
    for sample, picture in samples:
        alike = of_shape.setdefault(sample.lightness.shape, [])
        alike.append((sample, picture.is_one_of(config.photographs)))
    result = []
    for alike in of_shape.values():
        stacked, photograph = zip(*alike, strict=True)
        lightness, color, inside = map(np.stack, zip(*stacked, strict=True))
        result.append(Batch(lightness, color, inside, np.array(photograph)))
    return result


def make_sample(
    picture: Picture,
    config: TrainConfig,
    output_stride: int,
    number: int,
    space: ColorSpace = ColorSpace.LAB,
) -> Sample:
    """Scale, crop and mirror a picture at random, and split it into lightness and color.

    A scaled picture that is smaller than the crop is padded, as at inference. Of a larger one the
    network sees a part, at the scale of inference. With `whole_pictures` the picture lies on its
    canvas of a run, and is mirrored at random.

    Raises
    ------
    InputError
        If the picture cannot be decoded; the message names it.
    """
    random = np.random.default_rng((config.seed, 1, number))
    rgb = picture.rgb(keep_damaged=True)
    if config.whole_pictures:
        rgb, canvas, (rows, columns) = _fit(rgb, config.run_size)
    else:
        rgb, canvas, (rows, columns) = _crop(rgb, config, random)
    if random.random() < 0.5:
        rgb = rgb[:, ::-1]

    lightness = np.full((canvas.height, canvas.width), PAD_LIGHTNESS, np.float32)
    lightness[rows, columns] = rgb_to_lightness(rgb)
    if random.random() < config.aged:  # the target keeps the color of the clean picture
        lightness[rows, columns] = age(lightness[rows, columns], random)
    # The target is the color of the downsampled picture, not the downsampled color.
    padded = np.zeros((canvas.height, canvas.width, 3), np.uint8)
    padded[rows, columns] = rgb
    covered = np.zeros(padded.shape[:2], np.uint8)
    covered[rows, columns] = 255
    coarse = (canvas.width // output_stride, canvas.height // output_stride)
    small = cast(RgbImage, cv2.resize(padded, coarse, interpolation=cv2.INTER_AREA))
    color = rgb_to_lab_cv2(small)[..., 1:] if space is ColorSpace.LAB else rgb_to_uv(small)
    inside = cv2.resize(covered, coarse, interpolation=cv2.INTER_AREA) == 255
    return Sample(lightness[None], np.ascontiguousarray(color), inside)


# A picture, the size of its canvas, and the rows and columns of the canvas that it covers
_Placed = tuple[RgbImage, ImageSize, tuple[slice, slice]]


def _crop(rgb: RgbImage, config: TrainConfig, random: np.random.Generator) -> _Placed:
    """Scale and crop a picture at random, and pad it where it is smaller than the crop."""
    low, high = config.long_side
    long_side = low * (high / low) ** random.random()  # uniform in the logarithm
    scale = long_side / max(rgb.shape[:2])
    height, width = (max(1, round(side * scale)) for side in rgb.shape[:2])
    scaled = _resize(rgb, ImageSize(height, width))
    size = config.size
    # Start of the crop; negative where padding comes before the picture.
    top, left = (
        int(random.integers(min(0, side - size), max(0, side - size) + 1))
        for side in (height, width)
    )
    rgb = scaled[max(0, top) : top + size, max(0, left) : left + size]
    rows = slice(max(0, -top), max(0, -top) + rgb.shape[0])
    columns = slice(max(0, -left), max(0, -left) + rgb.shape[1])
    return rgb, ImageSize(size, size), (rows, columns)


def _fit(rgb: RgbImage, size: int) -> _Placed:
    """Scale a picture to a long side of `size` px, and place it as in a run."""
    box = Letterbox.fit(ImageSize(*rgb.shape[:2]), size, EfficientNetUNet.input_multiple)
    return _resize(rgb, box.inner), box.canvas, box.inside


def _resize(rgb: RgbImage, size: ImageSize) -> RgbImage:
    is_smaller = max(size.height, size.width) < max(rgb.shape)
    how = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
    return cast(RgbImage, cv2.resize(rgb, (size.width, size.height), interpolation=how))
