"""What else the network thought of a file's pictures, written beside the result.

The answers are kept while the pictures go by: a few hundred kilobytes each. The pictures themselves
are decoded again for each variant, so that no more than one is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import cast

import cv2
import numpy as np

from recolor_cli.batch.plan import OutputOptions
from recolor_cli.guidance.prediction import Prediction
from recolor_cli.guidance.sheet import SIDE, contact_sheet
from recolor_cli.image.decode import decode_pages
from recolor_cli.image.decoded_image import DecodedImage
from recolor_cli.image.encode import ImageEncoding, encode, encode_all, on_white
from recolor_cli.image.metadata import Metadata
from recolor_cli.recolorizer import MIN_SIDE, Recolorizer, StageTimings
from recolor_cli.types import AnyRgbImage, FloatArray, RgbImage


class ExtraOutputs:
    """Recolors the pictures of one file, and keeps what its companions need.

    Parameters
    ----------
    recolorizer : Recolorizer
    options : OutputOptions
        Which companions there are to be.
    """

    def __init__(self, recolorizer: Recolorizer, options: OutputOptions) -> None:
        self._recolorizer = recolorizer
        self._options = options
        self._colorings: list[list[FloatArray]] = []  # by page, then by variant
        self._entropies: list[float] = []
        self._first: tuple[DecodedImage, Prediction] | None = None  # page, which is kept small

    @property
    def entropy(self) -> float | None:
        """How unsure the network was, nats; None if it was not asked."""
        wanted = self._options.confidence and self._entropies
        return float(np.mean(self._entropies)) if wanted else None

    def recolor(self, picture: DecodedImage, timings: StageTimings) -> AnyRgbImage:
        """Recolor one page or frame, in its place.

        Raises
        ------
        RecolorError
            As `Recolorizer.recolor` and `Recolorizer.predict_distribution`.
        """
        rgb = picture.rgb
        if not self._options.needs_distribution:
            return self._recolorizer.recolor(rgb, timings, in_place=True)
        answer = self._recolorizer.predict_distribution(rgb, timings)
        colorings = answer.variants(max(1, self._options.variants), self._options.seed)
        self._entropies.append(answer.uncertainty)
        self._first = self._first or (_small(picture), answer)
        self._colorings.append(colorings if self._options.variants else [])
        timings.lap("steering")
        result = self._recolorizer.paint(rgb, colorings[0], rgb)
        timings.lap("color")
        return result

    def sidecars(
        self, destination: str, wanted: Collection[str], data: bytes, encoding: ImageEncoding
    ) -> Iterator[tuple[str, bytes]]:
        """Encode what lies beside the result, one after the other.

        Parameters
        ----------
        destination : str
            Of the result.
        wanted : collection of str
            Paths; other companions are left out.
        data : bytes
            The picture's file.
        encoding : ImageEncoding
            The result's; companions are encoded like it.

        Yields
        ------
        (str, bytes)
            Path and file. Sheet and map are of the first page or frame.
        """
        paths = self._options.network_sidecars(destination)
        count = self._options.variants
        for number, path in enumerate(paths[:count]):
            if path in wanted:
                yield path, encode_all(self._variant(number, data, encoding), encoding)
        drawings = [self._sheet, self._map] if count else [self._map]
        for path, drawn in zip(paths[count:], drawings, strict=False):
            if path in wanted:
                yield path, encode(*drawn(), encoding)

    def _variant(
        self, number: int, data: bytes, encoding: ImageEncoding
    ) -> Iterator[tuple[DecodedImage, AnyRgbImage]]:
        pages = decode_pages(data, encoding.format)
        for picture, colorings in zip(pages, self._colorings, strict=True):
            yield picture, self._recolorizer.paint(picture.rgb, colorings[number], picture.rgb)

    def _sheet(self) -> tuple[DecodedImage, RgbImage]:
        small, _ = self._of_first()
        rgb = cast(RgbImage, small.rgb)
        painted = [cast(RgbImage, self._recolorizer.paint(rgb, ab)) for ab in self._colorings[0]]
        labels = [str(number) for number in range(1, len(painted) + 1)]
        return _page(contact_sheet(painted, labels), small)

    def _map(self) -> tuple[DecodedImage, RgbImage]:
        small, answer = self._of_first()
        return _page(answer.confidence_map(), small)

    def _of_first(self) -> tuple[DecodedImage, Prediction]:
        if self._first is None:
            raise ValueError("no picture was recolored")
        return self._first


def _small(picture: DecodedImage) -> DecodedImage:
    """Reduce a picture to what the sheet shows, of 8 bits and without transparency."""
    rgb = on_white(picture, picture.rgb)
    share = min(1.0, SIDE / max(rgb.shape[:2]))
    width, height = (max(MIN_SIDE, round(side * share)) for side in rgb.shape[1::-1])
    rgb = cast(AnyRgbImage, cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA))
    if rgb.dtype == np.uint16:
        rgb = (rgb >> 8).astype(np.uint8)
    return replace(picture, rgb=rgb, alpha=None, metadata=Metadata(), profile=b"", warnings=())


def _page(rgb: RgbImage, like: DecodedImage) -> tuple[DecodedImage, RgbImage]:
    """Return a drawn picture as what is encoded: one page in sRGB."""
    return replace(like, rgb=rgb, pages=1, animation=None, lossless=False), rgb
