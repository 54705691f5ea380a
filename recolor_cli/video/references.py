"""Colored stills whose colors their shots, and shots like theirs, take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from recolor_cli.color.lab import rgb_to_lab_cv2, rgb_to_lightness
from recolor_cli.color.resize import shrink_to_side
from recolor_cli.color.smoothstep import smoothstep
from recolor_cli.errors import InputError, UsageError
from recolor_cli.guidance.reference_matching import ReferencePlaces, describe_places, match_places
from recolor_cli.image.decode import decode
from recolor_cli.image.unsupported import check_format
from recolor_cli.system.places import local_name
from recolor_cli.system.storage import read
from recolor_cli.types import FloatArray, RgbImage
from recolor_cli.video.frame_predictor import FramePredictor
from recolor_cli.video.frames import FrameGeometry
from recolor_cli.video.scenes import CUT_THRESHOLD, measure_difference

# Likeness of a frame and a still up to which its shot takes none of its color, and all of it.
_LEAST, _ENOUGH = 0.6, 0.75
_STILL_SIDE = 1024  # px, the longest side that is kept of a still
_RISE = 1 / 12  # of the share that a still has of a shot, in a frame
_RECENT = 60.0  # s; of two stills that fit a place, one so much farther away counts exp(-1)


@dataclass(frozen=True, eq=False, slots=True)
class Reference:
    """A colored still.

    Parameters
    ----------
    time : float
        Time of its frame, s from the film's beginning.
    name : str
        Name of its file, for messages.
    rgb : uint8 array, shape (H, W, 3), sRGB
        The frame as it is displayed, of any size.
    """

    time: float
    name: str
    rgb: RgbImage


def load_reference(time: float, name: str) -> Reference:
    """Read a colored still.

    Parameters
    ----------
    time : float
        Time of its frame, s from the film's beginning.
    name : str
        Path of a picture.

    Raises
    ------
    UsageError
        If the picture cannot be read.
    """
    try:
        rgb = decode(read(local_name(name), check_format)[0]).rgb
    except InputError as error:
        raise UsageError(f"--reference {name}: {error.message}", error.hint) from error
    small = shrink_to_side(np.asarray(rgb, np.uint8), _STILL_SIDE)
    return Reference(time, name, cast(RgbImage, small))


@dataclass(frozen=True, eq=False, slots=True)
class ReferenceMatch:
    """The color that one still gives a frame.

    Parameters
    ----------
    ab : float32 array, shape (h, w, 2), CIELAB units
    confidence : float32 array, shape (h, w)
        0 where nothing in the still resembles a place, 1 where it is known.
    likeness : float
        Of the frame and the still, 0..1.
    """

    ab: FloatArray
    confidence: FloatArray
    likeness: float


class ReferenceColors:
    """The stills of a film.

    Parameters
    ----------
    references : sequence of Reference
        They must have the film's shape.
    geometry : FrameGeometry
    predictor : FramePredictor
    fill : float
        L* of the padding of a canvas.

    Attributes
    ----------
    state : float32 array, shape (n,)
        Share that each still has of the current shot, 0..1.
    canvases : list of float32 array, shape (H, W)
        L* of the stored canvas of each still.
    """

    def __init__(
        self,
        references: Sequence[Reference],
        geometry: FrameGeometry,
        predictor: FramePredictor,
        fill: float,
    ) -> None:
        self.references = list(references)
        self.state = np.zeros(len(self.references), np.float32)
        self._geometry = geometry
        stills = [_fit_still(reference, geometry) for reference in self.references]
        self.canvases = [geometry.box.apply(rgb_to_lightness(still), fill) for still in stills]
        self._places = [
            self._describe_still(still, canvas, predictor.predict([canvas])[0])
            for still, canvas in zip(stills, self.canvases, strict=True)
        ]

    def check_frame(self, index: int, canvas: FloatArray | None) -> None:
        """Check that a still shows the frame of its time, whose canvas is given, if there is one.

        Raises
        ------
        InputError
            If it does not.
        """
        reference, inside = self.references[index], self._geometry.inside
        if canvas is None:
            raise InputError(
                f"it has no frame at the time of {reference.name}, {reference.time:g} s",
                "name the time of the still in the film",
            )
        if measure_difference(canvas[inside], self.canvases[index][inside]) > CUT_THRESHOLD:
            raise InputError(
                f"{reference.name} does not show its frame at {reference.time:g} s",
                "name the time of the still, or color the frame of this time",
            )

    def match(self, canvas: FloatArray, ab: FloatArray) -> list[ReferenceMatch]:
        """Return the color that each still gives a frame.

        Parameters
        ----------
        canvas : float32 array, shape (H, W)
            L* of the stored canvas of the frame.
        ab : float32 array, shape (h, w, 2), CIELAB units
            The network's prediction for it.
        """
        rows, columns = self._content(ab)
        features = self._describe(canvas, ab)
        shape = ab[rows, columns].shape[:2]
        matches = []
        for places in self._places:
            color, confidence, likeness = match_places(features, places)
            matches.append(
                ReferenceMatch(color.reshape(*shape, 2), confidence.reshape(shape), likeness)
            )
        return matches

    def apply(
        self, ab: FloatArray, matches: Sequence[ReferenceMatch], time: float, begins_shot: bool
    ) -> FloatArray:
        """Return a frame's ab with the colors of the stills. Call this for the frames in order.

        How much of a still a shot takes depends on how much its frames resemble the still. It never
        falls within a shot and rises slowly, so that nothing flickers.

        Parameters
        ----------
        ab : float32 array, shape (h, w, 2), CIELAB units
        matches : sequence of ReferenceMatch
            From `match`.
        time : float
            Of the frame, s from the film's beginning.
        begins_shot : bool
        """
        likeness = np.array([match.likeness for match in matches], np.float32)
        goals = smoothstep((likeness - _LEAST) / np.float32(_ENOUGH - _LEAST))
        if begins_shot:
            self.state = goals
        else:
            self.state = np.maximum(self.state, np.minimum(goals, self.state + np.float32(_RISE)))
        rows, columns = self._content(ab)
        total = np.zeros(ab[rows, columns].shape[:2], np.float32)
        color, share = np.zeros_like(ab[rows, columns]), np.zeros_like(total)
        for match, gate, reference in zip(matches, self.state, self.references, strict=True):
            # A shot that resembles the still has few places that it lacks, so doubts count less.
            known = gate * np.sqrt(match.confidence)
            weight = known * np.float32(math.exp(-abs(time - reference.time) / _RECENT)) + 1e-9
            color += weight[..., None] * match.ab
            total += weight
            share = np.maximum(share, known)
        result = ab.copy()
        color /= total[..., None]
        result[rows, columns] += (color - ab[rows, columns]) * share[..., None]
        return result

    def _describe_still(
        self, still: RgbImage, canvas: FloatArray, ab: FloatArray
    ) -> ReferencePlaces:
        rows, columns = self._content(ab)
        height, width = ab[rows, columns].shape[:2]
        colors = rgb_to_lab_cv2(still)[..., 1:]
        small = cv2.resize(colors, (width, height), interpolation=cv2.INTER_AREA)
        return ReferencePlaces(
            self._describe(canvas, ab), np.asarray(small, np.float32).reshape(-1, 2)
        )

    def _describe(self, canvas: FloatArray, ab: FloatArray) -> FloatArray:
        """Return the features of the places of a frame, without the padding."""
        rows, columns = self._content(ab)
        height, width = ab[rows, columns].shape[:2]
        lightness = cv2.resize(
            canvas[self._geometry.inside], (width, height), interpolation=cv2.INTER_AREA
        )
        return describe_places(np.asarray(lightness, np.float32), ab[rows, columns])

    def _content(self, ab: FloatArray) -> tuple[slice, slice]:
        """Return the rows and columns of a prediction that lie in the frame."""
        canvas = self._geometry.box.canvas
        found = []
        for inside, side, length in zip(
            self._geometry.inside, ab.shape, (canvas.height, canvas.width), strict=False
        ):
            first = min(round(inside.start * side / length), side - 1)
            found.append(slice(first, max(round(inside.stop * side / length), first + 1)))
        return found[0], found[1]


def _fit_still(reference: Reference, geometry: FrameGeometry) -> RgbImage:
    """Return a still in the orientation of the stored frames, of the size in the canvas."""
    stored = np.ascontiguousarray(np.rot90(reference.rgb, -geometry.turns))
    inner = geometry.box.inner
    return np.asarray(
        cv2.resize(stored, (inner.width, inner.height), interpolation=cv2.INTER_AREA), np.uint8
    )
