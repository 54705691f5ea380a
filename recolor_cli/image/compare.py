"""Before and after in one picture: side by side at full size, or two thumbnails."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image

from recolor_cli.color.resize import shrink_to_side
from recolor_cli.image.decode import DecodedImage, decode, decode_pages
from recolor_cli.image.encode import Encoding, encode_all, on_white
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.metadata import Metadata
from recolor_cli.types import AnyPlanes, AnyRgbImage, ImageSize, RgbImage

THUMBNAIL_SIDE = 480  # px, the longest: a card of 240 px on a screen of two pixels a px
_THUMBNAIL_QUALITY = 82
_DIVIDER = 128  # level of 255: it shows on white paper and on black


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """A picture before and after, small, as JPEG.

    Parameters
    ----------
    before, after : bytes
    size : ImageSize
        Of the picture itself.
    """

    before: bytes
    after: bytes
    size: ImageSize


def side_by_side(before: bytes, after: bytes, image_format: ImageFormat, quality: int) -> bytes:
    """Put a picture and its result beside each other, before | after, at full size.

    Parameters
    ----------
    before, after : bytes
        Encoded files. Of several pages or frames all are compared, as far as both have them.
    image_format : ImageFormat
        Of the comparison: it has the bits, pages, frames and transparency that this can hold.
    quality : int
        1..100, for lossy formats.

    Returns
    -------
    bytes
        An encoded file in sRGB, without other metadata than resolution.

    Raises
    ------
    InputError, OutputError
        If one cannot be read, or both together do not fit into the format.
    """
    pairs = zip(decode_pages(before, image_format), decode_pages(after, image_format), strict=False)
    return encode_all(_joined(pairs), Encoding(image_format, quality))


def thumbnails(before: bytes, after: bytes) -> Thumbnails:
    """Make two thumbnails, of the first page or frame.

    Raises
    ------
    InputError
        If one cannot be read.
    """
    small_before, _ = _thumbnail(before)
    small_after, size = _thumbnail(after)
    return Thumbnails(small_before, small_after, size)


def thumbnail_pair(pair: Thumbnails) -> RgbImage:
    """Return both thumbnails in one picture, uint8 (H, W, 3)."""
    first, second = decode(pair.before).rgb, decode(pair.after).rgb
    return np.asarray(_beside(first, _resized(second, first)), np.uint8)


def _joined(
    pairs: Iterator[tuple[DecodedImage, DecodedImage]],
) -> Iterator[tuple[DecodedImage, AnyRgbImage]]:
    for before, after in pairs:
        first, second = before.rgb, after.rgb
        first, second = _as_deep(first, second), _as_deep(second, first)
        alpha = None
        if before.alpha is not None or after.alpha is not None:
            alphas = [_opacity(picture, rgb) for picture, rgb in ((before, first), (after, second))]
            alpha = _beside(_resized(alphas[0], alphas[1]), alphas[1], np.iinfo(first.dtype).max)
        metadata = Metadata(icc_profile=after.metadata.icc_profile, dpi=after.metadata.dpi)
        rgb = _beside(_resized(first, second), second)
        yield replace(after, rgb=rgb, alpha=alpha, metadata=metadata, profile=b""), rgb


def _beside(first: AnyPlanes, second: AnyPlanes, level: int | None = None) -> AnyPlanes:
    """Join two pictures of one height by a thin line."""
    height, width = second.shape[:2]
    line = max(2, round(max(height, width) / 300))
    if level is None:
        level = _DIVIDER * (257 if second.dtype == np.uint16 else 1)
    divider = np.full((height, line, *second.shape[2:]), level, second.dtype)
    return np.concatenate((first, divider, second), axis=1)


def _resized(planes: AnyPlanes, like: AnyPlanes) -> AnyPlanes:
    """Bring a picture to the size of its result, which may be of an earlier scan."""
    if planes.shape[:2] == like.shape[:2]:
        return planes
    size = like.shape[1], like.shape[0]
    return np.asarray(cv2.resize(planes, size, interpolation=cv2.INTER_AREA))


def _as_deep(planes: AnyPlanes, other: AnyPlanes) -> AnyPlanes:
    """Return a picture with 16 bits if the other has them."""
    if planes.dtype == other.dtype or planes.dtype == np.uint16:
        return planes
    return planes.astype(np.uint16) * np.uint16(257)


def _opacity(picture: DecodedImage, rgb: AnyRgbImage) -> AnyPlanes:
    if picture.alpha is None:
        return np.full(rgb.shape[:2], np.iinfo(rgb.dtype).max, rgb.dtype)
    return _as_deep(picture.alpha, rgb)


def _thumbnail(data: bytes) -> tuple[bytes, ImageSize]:
    picture = decode(data)
    rgb = on_white(picture, picture.rgb)
    small = shrink_to_side(rgb, THUMBNAIL_SIDE)
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, "JPEG", quality=_THUMBNAIL_QUALITY, progressive=True)
    return buffer.getvalue(), picture.size
