"""Compare a picture with its result: side by side at full size, or two thumbnails."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image

from recolor_cli.color.resize import shrink_to_side
from recolor_cli.image.decode import decode, decode_pages
from recolor_cli.image.decoded_image import DecodedImage
from recolor_cli.image.encode import ImageEncoding, encode_all, on_white, record_provenance
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.metadata import Metadata
from recolor_cli.image.xmp_reader import read_provenance
from recolor_cli.types import AnyPlanes, AnyRgbImage, ImageSize

THUMBNAIL_SIDE = 480  # px of the longest side: 240 CSS px on a screen of double density
_THUMBNAIL_QUALITY = 82
_LINE_LEVEL = 128  # of 255: visible beside white and beside black


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """Small JPEGs of a picture and its result.

    Parameters
    ----------
    before, after : bytes
    size : ImageSize
        Of the result at full size.
    """

    before: bytes
    after: bytes
    size: ImageSize


def draw_comparison(before: bytes, after: bytes, image_format: ImageFormat, quality: int) -> bytes:
    """Draw a picture and its result side by side at full size, with a line between.

    Parameters
    ----------
    before, after : bytes
        Encoded files. All pages or frames are compared, as far as both files have them.
    image_format : ImageFormat
        Of the comparison, which has the bits, pages, frames and transparency that it holds.
    quality : int
        1..100, for lossy formats.

    Returns
    -------
    bytes
        An encoded file in sRGB. Of the metadata it keeps the resolution, and how the result was
        made.

    Raises
    ------
    InputError, OutputError
        If one cannot be read, or the comparison is too large for the format.
    """
    # A damaged picture has a result only if it was to be kept.
    pages = decode_pages(before, image_format, keep_damaged=True)
    pairs = zip(pages, decode_pages(after, image_format), strict=False)
    encoding = ImageEncoding(image_format, quality)
    return encode_all(_join_pairs(pairs, encoding), encoding)


def thumbnails(before: bytes, after: bytes) -> Thumbnails:
    """Make thumbnails of the first page or frame of a picture and its result.

    Raises
    ------
    InputError
        If one cannot be read.
    """
    small_before, _ = make_thumbnail(before)
    small_after, size = make_thumbnail(after)
    return Thumbnails(small_before, small_after, size)


def _join_pairs(
    pairs: Iterator[tuple[DecodedImage, DecodedImage]], encoding: ImageEncoding
) -> Iterator[tuple[DecodedImage, AnyRgbImage]]:
    for before, after in pairs:
        first, second = before.rgb, after.rgb
        first, second = _match_depth(first, second), _match_depth(second, first)
        alpha = None
        if before.alpha is not None or after.alpha is not None:
            alphas = [
                _alpha_of(picture, rgb) for picture, rgb in ((before, first), (after, second))
            ]
            alpha = _join(_resize_like(alphas[0], alphas[1]), alphas[1], np.iinfo(first.dtype).max)
        metadata = Metadata(icc_profile=after.metadata.icc_profile, dpi=after.metadata.dpi)
        rgb = _join(_resize_like(first, second), second)
        page = replace(after, rgb=rgb, alpha=alpha, metadata=metadata, profile=b"")
        if provenance := read_provenance(after.metadata.xmp):  # of the first page or frame
            page = record_provenance(page, provenance, encoding)
        yield page, rgb


def _join(first: AnyPlanes, second: AnyPlanes, level: int | None = None) -> AnyPlanes:
    """Join two pictures of the same height, with a thin line of some level between."""
    height, width = second.shape[:2]
    line = max(2, round(max(height, width) / 300))
    if level is None:
        level = _LINE_LEVEL * (257 if second.dtype == np.uint16 else 1)
    divider = np.full((height, line, *second.shape[2:]), level, second.dtype)
    return np.concatenate((first, divider, second), axis=1)


def _resize_like(planes: AnyPlanes, like: AnyPlanes) -> AnyPlanes:
    """Resize a picture to the size of another. A result may be that of an earlier scan."""
    if planes.shape[:2] == like.shape[:2]:
        return planes
    size = like.shape[1], like.shape[0]
    return np.asarray(cv2.resize(planes, size, interpolation=cv2.INTER_AREA))


def _match_depth(planes: AnyPlanes, other: AnyPlanes) -> AnyPlanes:
    """Convert a picture to 16 bits if the other has them."""
    if planes.dtype == other.dtype or planes.dtype == np.uint16:
        return planes
    return planes.astype(np.uint16) * np.uint16(257)


def _alpha_of(picture: DecodedImage, rgb: AnyRgbImage) -> AnyPlanes:
    if picture.alpha is None:
        return np.full(rgb.shape[:2], np.iinfo(rgb.dtype).max, rgb.dtype)
    return _match_depth(picture.alpha, rgb)


def make_thumbnail(data: bytes, max_pixels: int | None = None) -> tuple[bytes, ImageSize]:
    """Return a small JPEG of the first page or frame of a file, and its full size.

    Raises
    ------
    InputError
        If it cannot be read, or declares more pixels.
    """
    picture = decode(data, keep_damaged=True, max_pixels=max_pixels)
    return draw_thumbnail(on_white(picture, picture.rgb)), picture.size


def draw_thumbnail(rgb: AnyRgbImage) -> bytes:
    """Return a small JPEG of a picture, uint8 (H, W, 3)."""
    buffer = io.BytesIO()
    small = Image.fromarray(shrink_to_side(rgb, THUMBNAIL_SIDE))
    small.save(buffer, "JPEG", quality=_THUMBNAIL_QUALITY, progressive=True)
    return buffer.getvalue()
