"""Frames as FFmpeg has them: reading their luma, writing their chroma."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import av
import cv2
import numpy as np

from recolor_cli.color.letterbox import Letterbox
from recolor_cli.model.manifest import Manifest
from recolor_cli.types import AnyPlanes, FloatArray, ImageSize
from recolor_cli.video.planes import Coding, chroma_planes, matrix_of, reduced

_FULL, _LIMITED = 2, 1  # AVColorRange
_DEEP = "yuv444p16le"  # what frames become that end as RGB


def with_luma(frame: av.VideoFrame) -> av.VideoFrame:
    """Return a frame whose first plane is its luma, in samples of the machine's order.

    Nearly all film is so, and comes back as it is. RGB gets a luma plane, by the matrix that
    `matrix_of` says; packed YUV is unpacked.
    """
    layout = frame.format
    first = layout.components[0]
    is_gray = len(layout.components) == 1 and 8 <= first.bits <= 16
    msb_first = layout.name.startswith(("p0", "p2", "p4", "nv20"))  # the low bits are zero
    plain = first.is_luma and (layout.is_planar or is_gray) and not layout.has_palette
    if plain and not layout.is_big_endian and not msb_first:
        return frame
    bits = max(component.bits for component in layout.components)
    if is_gray and not layout.has_palette:
        return frame.reformat(format=f"gray{bits}le")
    depth = next((f"p{deep}le" for deep in (10, 12, 16) if bits <= deep), "p16le")
    target = "yuv444p" if bits <= 8 else f"yuv444{depth}"
    if first.is_luma and not layout.has_palette:
        return frame.reformat(format=target)
    result = frame.reformat(
        format=target,
        dst_colorspace=matrix_of(2, frame.height),
        dst_color_range=_FULL,
    )
    result.colorspace, result.color_range = matrix_of(2, frame.height), _FULL
    return result


def coding_of(frame: av.VideoFrame) -> Coding:
    """Return how a frame that `with_luma` gave is coded.

    Gray of no declared range has the full one, as FFmpeg takes it; YUV has the limited one.
    """
    is_full = frame.color_range == _FULL or frame.format.name.startswith("yuvj")
    if frame.color_range not in (_FULL, _LIMITED) and frame.format.name.startswith("gray"):
        is_full = True
    bits = frame.format.components[0].bits
    return Coding(bits, is_full, matrix_of(frame.colorspace, frame.height))


def plane(frame: av.VideoFrame, index: int) -> AnyPlanes:
    """Return one plane of a frame, uint8 or uint16, shape (H, W), as a view of its memory."""
    layout = frame.format
    deep = layout.components[0].bits > 8
    memory = np.frombuffer(cast(bytes, frame.planes[index]), np.uint16 if deep else np.uint8)
    line = frame.planes[index].line_size // memory.itemsize
    height, width = frame.height, frame.width
    if index:
        height, width = layout.chroma_height(height), layout.chroma_width(width)
    seen: AnyPlanes = np.lib.stride_tricks.as_strided(
        memory, (height, width), (line * memory.itemsize, memory.itemsize)
    )
    return seen


@dataclass(frozen=True, slots=True)
class View:
    """How a film's frames lie in the canvas that a network reads.

    Parameters
    ----------
    box : Letterbox
        Its source is the frame as it is stored; its inside has the shape that is shown.
    turns : int
        Quarter turns against the clock that make the canvas upright.
    """

    box: Letterbox
    turns: int

    @classmethod
    def of(cls, stored: ImageSize, pixel_aspect: float, rotation: int, manifest: Manifest) -> View:
        """Fit a film into what a network reads.

        Parameters
        ----------
        stored : ImageSize
            Of a frame in the file.
        pixel_aspect : float
            Width of a pixel over its height.
        rotation : int
            Degrees against the clock by which a player turns it.
        manifest : Manifest
            Of the network.
        """
        shown = ImageSize(stored.height, max(1, round(stored.width * pixel_aspect)))
        box = replace(manifest.box(shown), source=stored)
        return cls(box, round(rotation / 90) % 4)

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of the frame in the stored canvas."""
        inner = self.box.inner
        return (
            slice(self.box.top, self.box.top + inner.height),
            slice(self.box.left, self.box.left + inner.width),
        )

    def canvas(self, luma: AnyPlanes, coding: Coding, fill: float) -> FloatArray:
        """Return L* of a frame in the stored canvas, float32 (h, w), `fill` around it."""
        inner = self.box.inner
        shrinks = inner.width * inner.height < luma.size
        small = cv2.resize(
            luma,
            (inner.width, inner.height),
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
        )
        return self.box.apply(coding.lightness(small), fill)

    def reset_orientation(self, square: FloatArray) -> FloatArray:
        """Turn a stored canvas (h, w) as it is shown."""
        return np.ascontiguousarray(np.rot90(square, self.turns))

    def stored(self, answer: FloatArray) -> FloatArray:
        """Turn a network's answer (h, w, C) back as frames are stored."""
        return np.ascontiguousarray(np.rot90(answer, -self.turns))


def painted(frame: av.VideoFrame, ab: FloatArray, view: View, target: str) -> av.VideoFrame:
    """Return a frame in another pixel format with new color; its luma plane stays.

    Parameters
    ----------
    frame : VideoFrame
        As `with_luma` gave it. It may be the one that comes back, painted over.
    ab : float32 array, shape (h, w, 2)
        What a network said of the stored canvas, CIELAB units.
    view : View
    target : str
        FFmpeg's name of a pixel format, YUV or RGB.
    """
    coding = coding_of(frame)
    is_rgb = av.VideoFormat(target, 2, 2).is_rgb
    form = _DEEP if is_rgb else target
    if frame.format.name == form:
        frame.make_writable()  # the decoder may need what it has given us
        result, luma = frame, plane(frame, 0)
    else:
        result = frame.reformat(format=form)  # keeps times and flags
        deeper = replace(coding, bits=result.format.components[0].bits)
        luma = recoded(plane(frame, 0), coding, deeper)
        coding = deeper
        plane(result, 0)[:] = luma
    result.colorspace, result.color_range = coding.matrix, _range(frame, coding)
    result.pict_type = 0  # the encoder decides itself which frames stand alone
    height, width = plane(result, 1).shape
    small = reduced(luma, height, width, result.interlaced_frame)
    box = replace(view.box, source=ImageSize(height, width))
    for index, chroma in enumerate(chroma_planes(small, ab, box, coding), 1):
        plane(result, index)[:] = chroma
    if is_rgb:
        result = result.reformat(format=target, src_colorspace=coding.matrix, dst_color_range=_FULL)
    return result


def pixels_of(frame: av.VideoFrame, target: str) -> list[AnyPlanes]:
    """Return copies of a frame's planes in another pixel format, for `side_by_side`."""
    converted = frame.reformat(format=target)  # the frame itself, where it is so already
    return [_pixels(converted, index).copy() for index in range(len(converted.planes))]


def side_by_side(before: Sequence[AnyPlanes], after: av.VideoFrame) -> av.VideoFrame:
    """Return a frame of twice the width, with what `pixels_of` gave to the left of a frame."""
    both = av.VideoFrame(2 * after.width, after.height, after.format.name)
    both.pts, both.time_base, both.duration = after.pts, after.time_base, after.duration
    both.colorspace, both.color_range = after.colorspace, after.color_range
    for index, left in enumerate(before):
        _pixels(both, index)[:] = np.hstack((left, _pixels(after, index)))
    return both


def _pixels(frame: av.VideoFrame, index: int) -> AnyPlanes:
    """Return a plane as bytes, also of packed RGB, shape (H, bytes a line)."""
    layout = frame.format
    if not layout.is_rgb:
        return plane(frame, index)
    memory = np.frombuffer(cast(bytes, frame.planes[0]), np.uint8).reshape(frame.height, -1)
    return memory[:, : frame.width * layout.padded_bits_per_pixel // 8]


def recoded(luma: AnyPlanes, coding: Coding, other: Coding) -> AnyPlanes:
    """Return a luma plane in another depth: exact into a deeper one, else rounded."""
    if coding.bits == other.bits:
        return luma
    kind: np.dtype[Any] = np.dtype(np.uint16 if other.bits > 8 else np.uint8)
    if coding.full_range:
        scaled: FloatArray = luma * np.float32(other.luma_levels / coding.luma_levels)
        result: AnyPlanes = np.rint(scaled).astype(kind)
        return result
    if other.bits > coding.bits:
        deeper: AnyPlanes = luma.astype(kind) << np.array(other.bits - coding.bits, kind)
        return deeper
    shift = coding.bits - other.bits
    rounded: AnyPlanes = (luma.astype(np.uint32) + (1 << (shift - 1))) >> shift
    return np.minimum(rounded, (1 << other.bits) - 1).astype(kind)


def best_format(
    offered: Sequence[str], bits: int, size: ImageSize, any_subsampling: bool
) -> str | None:
    """Choose a pixel format among those of an encoder.

    Parameters
    ----------
    offered : sequence of str
    bits : int
        Of the source's luma.
    size : ImageSize
    any_subsampling : bool
        Whether 4:2:0 needs no even size.

    Returns
    -------
    str or None
        Without transparency; as deep as the source, or as near to it as there is; 4:2:0, which all
        players know, unless an odd size rules it out. None if there is no YUV and no RGB.
    """
    odd_width, odd_height = size.width % 2, size.height % 2
    across = 1 if odd_width and not any_subsampling else 2
    down = 1 if (odd_width or odd_height) and not any_subsampling else 2
    wanted = (across, down)
    ranked = []
    for name in offered:
        layout = av.VideoFormat(name, 16, 16)
        parts = layout.components
        if len(parts) != 3 or layout.has_palette or name.startswith(("yuvj", "nv", "p0", "gbr")):
            continue
        if layout.is_planar and layout.is_big_endian and parts[0].bits > 8:
            continue
        depth = parts[0].bits
        shrink = (16 // layout.chroma_width(16), 16 // layout.chroma_height(16))
        missing = max(0, bits - depth)
        misfit = 0 if layout.is_rgb else abs(shrink[0] - wanted[0]) + abs(shrink[1] - wanted[1])
        too_coarse = not layout.is_rgb and (shrink[0] > across or shrink[1] > down)
        ranked.append(((missing, too_coarse, layout.is_rgb, misfit, depth), name))
    return min(ranked)[1] if ranked else None


def _range(frame: av.VideoFrame, coding: Coding) -> int:
    """Return the range to declare: what the source declares, or full where that is meant."""
    return _FULL if coding.full_range else int(frame.color_range)
