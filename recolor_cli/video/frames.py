"""Read the luma plane of FFmpeg's frames and write their chroma planes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import av
import cv2
import numpy as np

from recolor_cli.color.letterbox import Letterbox
from recolor_cli.model.manifest import Manifest
from recolor_cli.types import AnyPlanes, FloatArray, ImageSize
from recolor_cli.video.planes import YuvCoding, choose_matrix, compute_chroma, downsample_luma

_FULL, _LIMITED = 2, 1  # AVColorRange
_RGB_SOURCE = "yuv444p16le"  # format in which frames are colored before they become RGB


def convert_frame(frame: av.VideoFrame, **options: Any) -> av.VideoFrame:
    """Convert a frame to another format or size. The options are those of `VideoFrame.reformat`.

    FFmpeg's scaler runs in one thread. In several, a row whose width is odd overwrites the first
    pixels of the next one, which another thread may have finished before.
    """
    return frame.reformat(threads=1, **options)


def ensure_luma_plane(frame: av.VideoFrame) -> av.VideoFrame:
    """Return a frame whose first plane is luma in samples of the machine's byte order.

    Planar YUV, which most film is, is returned unchanged. Packed YUV is unpacked. RGB is converted
    to YUV with the matrix of `choose_matrix`.
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
        return convert_frame(frame, format=f"gray{bits}le")
    depth = next((f"p{deep}le" for deep in (10, 12, 16) if bits <= deep), "p16le")
    target = "yuv444p" if bits <= 8 else f"yuv444{depth}"
    if first.is_luma and not layout.has_palette:
        return convert_frame(frame, format=target)
    matrix = choose_matrix(2, frame.height)
    result = convert_frame(frame, format=target, dst_colorspace=matrix, dst_color_range=_FULL)
    result.colorspace, result.color_range = matrix, _FULL
    return result


def read_coding(frame: av.VideoFrame) -> YuvCoding:
    """Return the coding of a frame that `ensure_luma_plane` returned.

    If no range is declared, gray frames have the full range, as in FFmpeg, and YUV the limited one.
    """
    is_full = frame.color_range == _FULL or frame.format.name.startswith("yuvj")
    if frame.color_range not in (_FULL, _LIMITED) and frame.format.name.startswith("gray"):
        is_full = True
    bits = frame.format.components[0].bits
    return YuvCoding(bits, is_full, choose_matrix(frame.colorspace, frame.height))


def view_plane(frame: av.VideoFrame, index: int) -> AnyPlanes:
    """Return a view of one plane's memory: uint8 or uint16, shape (H, W)."""
    layout = frame.format
    deep = layout.components[0].bits > 8
    memory = np.frombuffer(cast(bytes, frame.planes[index]), np.uint16 if deep else np.uint8)
    line = frame.planes[index].line_size // memory.itemsize
    height, width = frame.height, frame.width
    if index:
        height, width = layout.chroma_height(height), layout.chroma_width(width)
    view: AnyPlanes = np.lib.stride_tricks.as_strided(
        memory, (height, width), (line * memory.itemsize, memory.itemsize)
    )
    return view


@dataclass(frozen=True, slots=True)
class FrameGeometry:
    """Position and rotation of a film's frames in the canvas that a network reads.

    Parameters
    ----------
    box : Letterbox
        Its source is the stored frame; its inner rectangle has the displayed aspect ratio.
    turns : int
        Counterclockwise quarter turns that rotate a stored canvas upright.
    """

    box: Letterbox
    turns: int

    @classmethod
    def fit(
        cls, stored: ImageSize, pixel_aspect: float, rotation: int, manifest: Manifest
    ) -> FrameGeometry:
        """Fit the frames of a film into a network's canvas.

        Parameters
        ----------
        stored : ImageSize
            Size of a frame in the file, px.
        pixel_aspect : float
            Width of a pixel over its height.
        rotation : int
            Degrees counterclockwise by which a player rotates the film.
        manifest : Manifest
            Manifest of the network.
        """
        square = ImageSize(stored.height, max(1, round(stored.width * pixel_aspect)))
        box = replace(manifest.box(square), source=stored)
        return cls(box, round(rotation / 90) % 4)

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of the frame in the stored canvas."""
        return self.box.inside

    def stored_canvas(self, luma: AnyPlanes, coding: YuvCoding, fill: float) -> FloatArray:
        """Return L* of a frame in the stored canvas, float32 (h, w), with padding of L* `fill`."""
        inner = self.box.inner
        shrinks = inner.width * inner.height < luma.size
        small = cv2.resize(
            luma,
            (inner.width, inner.height),
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
        )
        return self.box.apply(coding.lightness(small), fill)

    def rotate_upright(self, canvas: FloatArray) -> FloatArray:
        """Rotate a stored canvas (h, w) as a player displays it."""
        return np.ascontiguousarray(np.rot90(canvas, self.turns))

    def rotate_to_stored(self, ab: FloatArray) -> FloatArray:
        """Rotate the prediction (h, w, C) for an upright canvas as the frames are stored."""
        return np.ascontiguousarray(np.rot90(ab, -self.turns))


ShareOfFrame = Callable[[av.VideoFrame, ImageSize], FloatArray]
"""Returns the share of new color, 0..1, at each place of a frame's chroma planes of this size."""


def paint_frame(
    frame: av.VideoFrame,
    ab: FloatArray,
    geometry: FrameGeometry,
    target: str,
    share_of: ShareOfFrame | None = None,
) -> av.VideoFrame:
    """Return a frame with new color in a given pixel format. Its luma plane stays.

    Parameters
    ----------
    frame : VideoFrame
        A frame that `ensure_luma_plane` returned. It may be painted over and returned.
    ab : float32 array, shape (h, w, 2)
        A network's prediction for the stored canvas, CIELAB units.
    geometry : FrameGeometry
    target : str
        FFmpeg's name of a YUV or RGB pixel format.
    share_of : ShareOfFrame or None
        Where the frame keeps its own color. None keeps none of it.
    """
    coding = read_coding(frame)
    is_rgb = av.VideoFormat(target, 2, 2).is_rgb
    painted_format = _RGB_SOURCE if is_rgb else target
    if frame.format.name == painted_format:
        frame.make_writable()  # the decoder may still refer to the frame
        result, luma = frame, view_plane(frame, 0)
    else:
        result = convert_frame(frame, format=painted_format)  # keeps times and flags
        new_coding = replace(coding, bits=result.format.components[0].bits)
        luma = convert_luma_depth(view_plane(frame, 0), coding, new_coding)
        coding = new_coding
        view_plane(result, 0)[:] = luma
    result.colorspace = coding.matrix
    result.color_range = _FULL if coding.full_range else int(frame.color_range)
    result.pict_type = 0  # let the encoder choose the key frames
    height, width = view_plane(result, 1).shape
    share = share_of(result, ImageSize(height, width)) if share_of else None
    small = downsample_luma(luma, height, width, result.interlaced_frame)
    box = replace(geometry.box, source=ImageSize(height, width))
    for index, chroma in enumerate(compute_chroma(small, ab, box, coding), 1):
        plane = view_plane(result, index)
        if share is None:
            plane[:] = chroma
        else:
            own = plane.astype(np.float32)
            plane[:] = np.rint(own + (chroma.astype(np.float32) - own) * share)
    if is_rgb:
        result = convert_frame(
            result, format=target, src_colorspace=coding.matrix, dst_color_range=_FULL
        )
    return result


def convert_luma_depth(luma: AnyPlanes, coding: YuvCoding, other: YuvCoding) -> AnyPlanes:
    """Convert a luma plane to another bit depth: exactly to more bits, rounded to fewer."""
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


def copy_planes(frame: av.VideoFrame, target: str) -> list[AnyPlanes]:
    """Return copies of a frame's planes in another pixel format, for `preview_frame`."""
    converted = convert_frame(frame, format=target)  # the same frame if it has this format already
    return [_view_any_plane(converted, index).copy() for index in range(len(converted.planes))]


def preview_frame(before: Sequence[AnyPlanes], after: av.VideoFrame) -> av.VideoFrame:
    """Return a frame of twice the width: the planes of `copy_planes` left, a frame right.

    Where chroma of an odd width is halved, both halves of a row have together one sample more than
    the row of the result. The last one is left out.
    """
    both = av.VideoFrame(2 * after.width, after.height, after.format.name)
    both.pts, both.time_base, both.duration = after.pts, after.time_base, after.duration
    both.colorspace, both.color_range = after.colorspace, after.color_range
    for index, left in enumerate(before):
        plane = _view_any_plane(both, index)
        plane[:] = np.hstack((left, _view_any_plane(after, index)))[:, : plane.shape[1]]
    return both


def _view_any_plane(frame: av.VideoFrame, index: int) -> AnyPlanes:
    """Return a view of a plane; a plane of RGB, packed or not, as bytes, shape (H, bytes)."""
    layout = frame.format
    if not layout.is_rgb:
        return view_plane(frame, index)
    memory = np.frombuffer(cast(bytes, frame.planes[index]), np.uint8).reshape(frame.height, -1)
    return memory[:, : frame.width * layout.padded_bits_per_pixel // 8 // len(frame.planes)]
