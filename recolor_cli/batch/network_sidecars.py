"""Sidecar files that need the network: variants, their sheet, and the confidence map.

The predictions are kept while the pages are recolored: a few hundred kilobytes each. The pages
are decoded again for each variant, so that no more than one is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import cast

import numpy as np

from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.sidecar_names import CONFIDENCE, VARIANTS, sidecar_path
from recolor_cli.color.resize import shrink_to_side
from recolor_cli.guidance.contact_sheet import SIDE, draw_contact_sheet
from recolor_cli.guidance.prediction import Prediction
from recolor_cli.image.decoded_image import DecodedImage
from recolor_cli.image.encode import ImageEncoding, encode, encode_all, on_white, record_provenance
from recolor_cli.image.metadata import Metadata
from recolor_cli.image.provenance import Provenance
from recolor_cli.recolorizer import MIN_SIDE, Recolorizer, StageTimings
from recolor_cli.types import AnyRgbImage, FloatArray, RgbImage


class NetworkSidecars:
    """Recolor the pages of one file and keep the predictions that its sidecar files need.

    Parameters
    ----------
    recolorizer : Recolorizer
    options : OutputOptions
        Names the sidecar files.
    """

    def __init__(self, recolorizer: Recolorizer, options: OutputOptions) -> None:
        self._recolorizer = recolorizer
        self._options = options
        self._colorings: list[list[FloatArray]] = []  # by page, then by variant
        self._entropies: list[float] = []
        self._first: tuple[DecodedImage, Prediction] | None = None  # page, reduced

    @property
    def entropy(self) -> float | None:
        """Mean entropy of the predictions, nats; None without a confidence map."""
        is_known = self._options.confidence and self._entropies
        return float(np.mean(self._entropies)) if is_known else None

    def recolor(self, page: DecodedImage, timings: StageTimings) -> AnyRgbImage:
        """Recolor one page or frame in place and return its pixels.

        Raises
        ------
        RecolorError
            As `Recolorizer.recolor` and `Recolorizer.predict_distribution`.
        """
        rgb = page.rgb
        if not self._options.needs_distribution:
            return self._recolorizer.recolor(rgb, timings, in_place=True)
        result = self._recolorizer.paint(rgb, self.predict(page, timings), rgb)
        timings.lap("color")
        return result

    def predict(self, page: DecodedImage, timings: StageTimings) -> FloatArray:
        """Predict one page or frame for its sidecar files, and return the ab of the result.

        Raises
        ------
        RecolorError
            As `Recolorizer.predict_distribution`.
        """
        prediction = self._recolorizer.predict_distribution(page.rgb, timings)
        pick = prediction.steering.pick
        colorings = prediction.variants(max(pick, self._options.variants))
        self._entropies.append(prediction.uncertainty)
        self._first = self._first or (_reduce(page), prediction)
        self._colorings.append(colorings[: self._options.variants])
        timings.lap("steering")
        return colorings[pick - 1]

    def encode(
        self,
        destination: str,
        pages: Callable[[], Iterator[DecodedImage]],
        encoding: ImageEncoding,
        provenance: Provenance | None = None,
    ) -> Iterator[tuple[str, bytes]]:
        """Encode the sidecar files of a result, one after the other.

        Parameters
        ----------
        destination : str
            Of the result.
        pages : callable
            Decodes the pages anew.
        encoding : ImageEncoding
            The result's; sidecar files are encoded like it.
        provenance : Provenance or None
            The result's, from which that of each sidecar file follows.

        Yields
        ------
        (str, bytes)
            Path and file. Sheet and map are of the first page or frame.
        """
        drawings = {VARIANTS: self._sheet, CONFIDENCE: self._map}
        for label in self._options.network_labels:
            path = sidecar_path(destination, label)
            own = provenance and self._options.provenance_of_sidecar(label, provenance)
            if draw := drawings.get(label):
                page, rgb = draw()
                page = record_provenance(page, own, encoding) if own else page
                yield path, encode(page, rgb, encoding)
            else:
                variant = self._variant(int(label), pages(), encoding, own)
                yield path, encode_all(variant, encoding)

    def _variant(
        self,
        number: int,
        pages: Iterator[DecodedImage],
        encoding: ImageEncoding,
        provenance: Provenance | None,
    ) -> Iterator[tuple[DecodedImage, AnyRgbImage]]:
        pairs = zip(pages, self._colorings, strict=True)
        for index, (page, colorings) in enumerate(pairs):
            if not index:  # the first page or frame speaks for all
                page = record_provenance(page, provenance, encoding)
            yield page, self._recolorizer.paint(page.rgb, colorings[number - 1], page.rgb)

    def _sheet(self) -> tuple[DecodedImage, RgbImage]:
        small, _ = self._first_page()
        rgb = cast(RgbImage, small.rgb)
        painted = [cast(RgbImage, self._recolorizer.paint(rgb, ab)) for ab in self._colorings[0]]
        labels = [str(number) for number in range(1, len(painted) + 1)]
        return _page(draw_contact_sheet(painted, labels), small)

    def _map(self) -> tuple[DecodedImage, RgbImage]:
        small, prediction = self._first_page()
        return _page(prediction.confidence_map(), small)

    def _first_page(self) -> tuple[DecodedImage, Prediction]:
        if self._first is None:
            raise ValueError("no picture was recolored")
        return self._first


def _reduce(page: DecodedImage) -> DecodedImage:
    """Reduce a page to its size on the sheet, of 8 bits and without transparency."""
    rgb = shrink_to_side(on_white(page, page.rgb), SIDE, MIN_SIDE)
    if rgb.dtype == np.uint16:
        rgb = (rgb >> 8).astype(np.uint8)
    return replace(page, rgb=rgb, alpha=None, metadata=Metadata(), profile=b"", warnings=())


def _page(rgb: RgbImage, like: DecodedImage) -> tuple[DecodedImage, RgbImage]:
    """Return a drawing as the encoder takes it: a single page in sRGB."""
    return replace(like, rgb=rgb, pages=1, animation=None, lossless=False), rgb
