"""Encode results with the transparency and the metadata of their sources."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np

from recolor_cli.color.row_strips import map_row_strips
from recolor_cli.errors import OutputError
from recolor_cli.image.codec import Codec, NewPage, PageWriter, codec_of
from recolor_cli.image.color_profiles import Space, from_srgb, space_of
from recolor_cli.image.decoded_image import DecodedImage
from recolor_cli.image.failures import encoder_errors
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.provenance import Provenance
from recolor_cli.image.xmp import add_provenance, remove_provenance
from recolor_cli.image.xmp_document import XmpError
from recolor_cli.types import AnyPlanes, AnyRgbImage

_FULL_XMP = "its XMP has no room left, so that the result does not say how it was made"
_BROKEN_XMP = "its XMP is broken; it is kept as it is, and the result does not say how it was made"


@dataclass(frozen=True, slots=True)
class ImageEncoding:
    """Options of encoding.

    Parameters
    ----------
    format : ImageFormat or None
        None is the source's.
    quality : int
        1..100, for JPEG, WebP and AVIF.
    source_profile : bool
        Whether to write in the source's color profile instead of sRGB.
    """

    format: ImageFormat | None = None
    quality: int = 95
    source_profile: bool = False


def encode(source: DecodedImage, rgb: AnyRgbImage, encoding: ImageEncoding) -> bytes:
    """Encode one result.

    Parameters
    ----------
    source : DecodedImage
        Gives transparency and metadata.
    rgb : array of the source's shape and dtype
    encoding : ImageEncoding

    Raises
    ------
    OutputError
        If the format cannot hold the picture, because of its size for example.
    """
    return encode_all([(source, rgb)], encoding)


def encode_all(
    results: Iterable[tuple[DecodedImage, AnyRgbImage]], encoding: ImageEncoding
) -> bytes:
    """Encode the results of one file.

    Parameters
    ----------
    results : iterable of (DecodedImage, array)
        What `decode_pages` gave for this format, and its new pixels. Each is asked for when the one
        before is done.
    encoding : ImageEncoding

    Raises
    ------
    OutputError
        As `encode`.
    """
    file = io.BytesIO()
    encode_to_file(results, encoding, file)
    return file.getvalue()


def encode_to_file(
    results: Iterable[tuple[DecodedImage, AnyRgbImage]], encoding: ImageEncoding, file: BinaryIO
) -> None:
    """Encode the results of one file right into another, which saves memory for large TIFFs.

    Parameters
    ----------
    results, encoding
        As for `encode_all`.
    file : BinaryIO
        Empty, and open for reading, too.

    Raises
    ------
    OSError
        If the file cannot be written.
    OutputError
        As `encode`.
    """
    writer: PageWriter | None = None
    image_format = encoding.format
    for source, rgb in results:
        image_format = image_format or source.format
        codec = codec_of(image_format)
        _check_side(max(rgb.shape[:2]), codec)
        with encoder_errors(image_format):
            writer = writer or codec.writer(file, source.pages, encoding.quality)
            writer.add(_new_page(source, rgb, codec, encoding.source_profile))
    if writer is None or image_format is None:
        raise ValueError("there are no results")
    with encoder_errors(image_format):
        writer.finish()


def record_provenance(
    source: DecodedImage, provenance: Provenance | None, encoding: ImageEncoding
) -> DecodedImage:
    """Return a page or frame whose result will say in its XMP how it was made.

    With None it will not: what the source says of its own making is left out, too.

    A format without XMP says nothing. XMP that cannot be parsed, or that has no room left, stays as
    it is; then the page has a warning.
    """
    codec = codec_of(encoding.format or source.format)
    if "xmp" not in codec.holds_metadata:
        return source
    if provenance is None:
        xmp = remove_provenance(source.metadata.xmp)
        return replace(source, metadata=replace(source.metadata, xmp=xmp))
    try:
        xmp = add_provenance(source.metadata.xmp, provenance)
    except XmpError:
        return replace(source, warnings=(*source.warnings, _BROKEN_XMP))
    metadata, _ = codec.fit_metadata(replace(source.metadata, xmp=xmp))
    if not metadata.xmp:
        return replace(source, warnings=(*source.warnings, _FULL_XMP))
    return replace(source, metadata=metadata)


def on_white(source: DecodedImage, rgb: AnyRgbImage) -> AnyRgbImage:
    """Lay new pixels on white where the source is transparent."""
    if source.alpha is None:
        return rgb
    top = np.iinfo(rgb.dtype).max
    alpha = source.alpha

    def lay(rows: slice) -> AnyPlanes:
        opacity = alpha[rows, :, None].astype(np.float32) / np.float32(top)
        paper: AnyPlanes = np.rint(rgb[rows] * opacity + top * (1 - opacity))
        return paper

    return map_row_strips(lay, tuple(rgb.shape), rgb.dtype)


def _check_side(side: int, codec: Codec) -> None:
    """Raise OutputError if a side is longer than the format holds, which some encoders ignore."""
    if codec.max_side and side > codec.max_side:
        raise OutputError(
            f"cannot be written as {codec.format.prose_name}, which holds {codec.max_side:,} "
            f"pixels a side at most: it has {side:,}",
            "make it smaller, or try --format png",
        )


def _new_page(
    source: DecodedImage, rgb: AnyRgbImage, codec: Codec, source_profile: bool
) -> NewPage:
    """Return the pixels as the file will hold them: in its profile, with opacity or on white."""
    space, metadata, profile = Space.RGB, source.metadata, b""
    profile_space = space_of(source.profile)
    if source_profile and profile_space in (Space.RGB, Space.CMYK):  # a gray one holds no color
        space, profile = profile_space, source.profile
        metadata = replace(metadata, icc_profile=profile)
    if space is Space.CMYK and not codec.holds_cmyk:
        raise OutputError(f"{codec.format} cannot hold CMYK", "use --icc srgb, or --format tif")
    is_opaque = space is Space.CMYK or not codec.holds_transparency
    pixels: AnyPlanes = on_white(source, rgb) if is_opaque else rgb
    if profile:
        pixels = from_srgb(pixels, profile, space)
    if source.alpha is not None and not is_opaque:
        pixels = np.dstack((pixels, source.alpha))
    return NewPage(pixels, space, metadata, source)
