"""One open picture: the network runs once, and each change is painted from its answer."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from recolor_cli.batch.run_provenance import digest_arrays
from recolor_cli.color.blend import BlendMask
from recolor_cli.color.gamut_mapping import clip_chroma
from recolor_cli.color.lab import lab_to_rgb_cv2
from recolor_cli.color.painting import paint
from recolor_cli.color.resize import shrink_to_side
from recolor_cli.guidance.prediction import Prediction
from recolor_cli.guidance.recolor_options import RecolorOptions, Steering
from recolor_cli.image.decode import decode_pages, to_8_bits
from recolor_cli.image.encode import on_white
from recolor_cli.image.probe import probe
from recolor_cli.recolorizer import MIN_SIDE, Recolorizer
from recolor_cli.serve.studio.wishes import Wishes
from recolor_cli.system.files import read
from recolor_cli.types import AnyRgbImage, FloatArray, ImageSize, RgbImage

PREVIEW_SIDE = 1024  # px, the longest side
MAX_DETAIL = 2560  # px, the longest side of a detail
VARIANTS, _VARIANT_SIDE = 4, 240
_QUALITY = 92
_MIDDLE_SIDE = 2560  # px, of the copy from which details of no finer scale are cut
_SUGGESTED_LIGHTNESS = (25.0, 85.0)  # L*; hardly any color can be shown beyond


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A color that the network thinks likely at a place.

    Parameters
    ----------
    color : str
        ``#rrggbb``.
    share : float
        Of the probability, 0..1.
    """

    color: str
    share: float


@dataclass(frozen=True, slots=True)
class ReadPicture:
    """The pixels of a file, and facts about it.

    Parameters
    ----------
    rgb : uint8 or uint16 array, shape (H, W, 3)
        As the network reads it.
    shown : uint8 array of the same shape, or None
        As it is shown, on white; None if `rgb` is that.
    damage : str
        What is wrong with the file; empty if it is whole.
    digest : str
        A hash of the pixels.
    """

    rgb: AnyRgbImage
    shown: RgbImage | None
    damage: str
    digest: str


def read_picture(path: Path, max_pixels: int) -> ReadPicture:
    """Decode the first page of a file.

    Raises
    ------
    RecolorError
        If it cannot be read, or has more pixels.
    """
    data = read(path).data
    header = probe(data)
    header.check_pixels(max_pixels)
    page = next(decode_pages(data, header=header, keep_damaged=True))
    rgb = page.rgb
    page = to_8_bits(page)
    shown = cast(RgbImage, on_white(page, page.rgb))
    return ReadPicture(rgb, None if shown is rgb else shown, page.damage, digest_arrays(rgb))


class OpenPicture:
    """A picture whose colors are chosen by hand; may be used by several threads.

    Parameters
    ----------
    picture : ReadPicture
    recolorizer : Recolorizer
        Of a network with a distribution.

    Raises
    ------
    RecolorError
        If the picture cannot be recolored.
    """

    def __init__(self, picture: ReadPicture, recolorizer: Recolorizer) -> None:
        self.damage = picture.damage
        self.digest = picture.digest
        self._prediction = recolorizer.predict_distribution(picture.rgb)
        shown = picture.rgb if picture.shown is None else picture.shown
        self._full = cast(RgbImage, shown)
        self.size = ImageSize(*shown.shape[:2])
        self.small = cast(RgbImage, shrink_to_side(self._full, PREVIEW_SIDE, MIN_SIDE))
        self._lock = threading.Lock()
        # The last coloring and mask, with the wishes that they were made for.
        self._ab: tuple[tuple[Wishes, bool], FloatArray] | None = None
        self._blend: tuple[Wishes, BlendMask | None] | None = None

    @property
    def temperature(self) -> float:
        """The temperature of the annealed mean that the model has of its own."""
        return self._prediction.temperature

    @cached_property
    def before(self) -> bytes:
        """The picture as it is, in the size of the preview, as JPEG."""
        return encode_jpeg(self.small)

    def preview(self, wishes: Wishes, options: RecolorOptions, draft: bool = False) -> bytes:
        """Return the recolored picture as JPEG, with a longest side of `PREVIEW_SIDE`.

        Parameters
        ----------
        wishes : Wishes
        options : RecolorOptions
            Those that the wishes mean.
        draft : bool
            Spread hints less exactly, in less time.
        """
        with self._lock:
            ab = self._coloring(wishes, options, draft)
            blend_mask = self._blend_mask(wishes, options)
        out = np.empty_like(self.small)
        letterbox = replace(self._prediction.letterbox, source=ImageSize(*self.small.shape[:2]))
        paint(self.small, letterbox.upsample(ab), out, blend_mask)
        return encode_jpeg(out)

    def detail(
        self, wishes: Wishes, options: RecolorOptions, box: tuple[float, ...], side: int
    ) -> bytes:
        """Return a part of the picture, before above after, as one JPEG.

        Parameters
        ----------
        wishes, options
            As for `preview`.
        box : (left, top, right, bottom)
            Shares of the picture's width and height, 0..1.
        side : int
            Longest side of the part in the answer, px.
        """
        with self._lock:
            ab = self._coloring(wishes, options)
            blend_mask = self._blend_mask(wishes, options)
        whole, part = self._scaled_box(box, min(side, MAX_DETAIL))
        before = self._cut(whole, part)
        letterbox = replace(self._prediction.letterbox, source=whole)
        lazy = letterbox.upsample(ab)
        rows, columns = part
        lazy = replace(
            lazy, wide=np.ascontiguousarray(lazy.wide[..., columns]), down=lazy.down[rows]
        )
        if blend_mask is not None and blend_mask.weights is not None:
            size = whole.width, whole.height
            weights = cv2.resize(blend_mask.weights, size, interpolation=cv2.INTER_LINEAR)
            blend_mask = replace(blend_mask, weights=np.ascontiguousarray(weights[part]))
        after = np.empty_like(before)
        paint(before, lazy, after, blend_mask)
        return encode_jpeg(np.concatenate((before, after)))

    def variants(self, options: RecolorOptions) -> bytes:
        """Return small variants side by side, as one JPEG; hints are left out."""
        prediction = self._with_options(options).detached()
        prediction = replace(prediction, steering=replace(prediction.steering, hints=None))
        small = cast(RgbImage, shrink_to_side(self.small, _VARIANT_SIDE, MIN_SIDE))
        letterbox = replace(prediction.letterbox, source=ImageSize(*small.shape[:2]))
        painted = []
        for ab in prediction.variants(VARIANTS):
            out = np.empty_like(small)
            paint(small, letterbox.upsample(ab), out)
            painted.append(out)
        return encode_jpeg(np.concatenate(painted, axis=1))

    def suggestions(self, x: float, y: float) -> tuple[float, list[Suggestion]]:
        """Return L* at a pixel, and the colors that the network thinks likely there."""
        lightness = self._prediction.lightness_at(x, y)
        shown = min(max(lightness, _SUGGESTED_LIGHTNESS[0]), _SUGGESTED_LIGHTNESS[1])
        likely = self._prediction.likely_colors(x, y)
        if not likely:
            return lightness, []
        ab = np.array([[(color.a, color.b) for color in likely]], np.float32)
        light = np.full(ab.shape[:2], shown, np.float32)
        levels = lab_to_rgb_cv2(light, clip_chroma(light, ab))[0]
        codes = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in levels]
        return lightness, [
            Suggestion(code, color.share) for code, color in zip(codes, likely, strict=True)
        ]

    def _with_options(self, options: RecolorOptions) -> Prediction:
        own = self._prediction
        return replace(
            own,
            temperature=options.temperature or own.temperature,
            factors=replace(own.factors, user=options.strength),
            steering=options.steering or Steering(),
        )

    def _coloring(self, wishes: Wishes, options: RecolorOptions, draft: bool = False) -> FloatArray:
        key = replace(wishes, only_gray=False, mask=""), draft
        if self._ab is None or self._ab[0] != key:
            self._ab = key, self._with_options(options).picked(draft)
        return self._ab[1]

    def _blend_mask(self, wishes: Wishes, options: RecolorOptions) -> BlendMask | None:
        """Return the mask of the preview."""
        wishes = Wishes(only_gray=wishes.only_gray, mask=wishes.mask)
        if self._blend is None or self._blend[0] != wishes:
            mask = BlendMask.for_picture(self.small, 0, options.only_gray, options.mask)
            self._blend = wishes, mask
        return self._blend[1]

    def _scaled_box(
        self, box: tuple[float, ...], side: int
    ) -> tuple[ImageSize, tuple[slice, slice]]:
        """Return the size of the whole picture at the scale of a detail, and the detail in it."""
        left, top, right, bottom = box
        height, width = self.size.height, self.size.width
        longest = max((right - left) * width, (bottom - top) * height, 1)
        scale = min(1.0, side / longest)
        whole = ImageSize(max(MIN_SIDE, round(height * scale)), max(MIN_SIDE, round(width * scale)))
        rows = _slice(top, bottom, whole.height)
        columns = _slice(left, right, whole.width)
        return whole, (rows, columns)

    def _cut(self, whole: ImageSize, part: tuple[slice, slice]) -> RgbImage:
        """Return a part of the picture at the scale at which all of it has the size `whole`."""
        source = self._full
        if max(whole.height, whole.width) <= _MIDDLE_SIDE:
            source = self._middle
        rows, columns = part
        down, across = source.shape[0] / whole.height, source.shape[1] / whole.width
        cut = source[
            round(rows.start * down) : max(round(rows.stop * down), round(rows.start * down) + 1),
            round(columns.start * across) : max(
                round(columns.stop * across), round(columns.start * across) + 1
            ),
        ]
        size = columns.stop - columns.start, rows.stop - rows.start
        area = cv2.INTER_AREA if cut.shape[0] >= size[1] else cv2.INTER_LINEAR
        return cast(RgbImage, np.asarray(cv2.resize(cut, size, interpolation=area), np.uint8))

    @cached_property
    def _middle(self) -> RgbImage:
        return cast(RgbImage, shrink_to_side(self._full, _MIDDLE_SIDE, MIN_SIDE))


def _slice(start: float, stop: float, side: int) -> slice:
    first = min(int(start * side), side - 1)
    return slice(first, min(max(first + 1, round(stop * side)), side))


def encode_jpeg(rgb: NDArray[Any]) -> bytes:
    """Encode a picture for the page, with all of its color."""
    array = np.ascontiguousarray(rgb, np.uint8)
    return bytes(simplejpeg.encode_jpeg(array, _QUALITY, "RGB", "444"))
