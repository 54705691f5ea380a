"""Pixels to bytes: what goes into which format, and how."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from recolor_cli.errors import OutputError, RecolorError
from recolor_cli.image import codecs, color_profiles, jp2_boxes, tiff
from recolor_cli.image.codecs import map_row_strips
from recolor_cli.image.color_profiles import Space
from recolor_cli.image.decode import DecodedImage
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.metadata import Metadata, jpeg_segments, options_for, png_chunks
from recolor_cli.types import AnyPlanes, AnyRgbImage


@dataclass(frozen=True, slots=True)
class Encoding:
    """How results are encoded.

    Parameters
    ----------
    format : ImageFormat or None
        None is the source's.
    quality : int
        1..100, for JPEG, WebP and AVIF.
    source_profile : bool
        Write in the source's color profile instead of sRGB.
    """

    format: ImageFormat | None = None
    quality: int = 95
    source_profile: bool = False


def encode(source: DecodedImage, rgb: AnyRgbImage, encoding: Encoding) -> bytes:
    """Encode a result with the transparency and the metadata of its source.

    Parameters
    ----------
    source : DecodedImage
        Where alpha and metadata come from.
    rgb : array, the shape and dtype of the source's
    encoding : Encoding

    Raises
    ------
    OutputError
        If the format cannot hold the picture, because of its size for example.
    """
    return encode_all([(source, rgb)], encoding)


def encode_all(results: Iterable[tuple[DecodedImage, AnyRgbImage]], encoding: Encoding) -> bytes:
    """Encode the results of one file, as `encode` does.

    Parameters
    ----------
    results : iterable of (DecodedImage, array)
        What `pictures` gave for this format, and its new pixels. Each is asked for when the one
        before is done.
    encoding : Encoding

    Raises
    ------
    OutputError
        As `encode`.
    """
    iterator = iter(results)
    source, rgb = next(iterator)
    image_format = encoding.format or source.format
    if image_format is ImageFormat.TIFF:
        file = io.BytesIO()
        encode_tiff(chain([(source, rgb)], iterator), encoding, file)
        return file.getvalue()
    rest = [(frame, _with_alpha(frame, new)) for frame, new in iterator]
    with _limits_are_told(image_format):
        pixels, space, metadata = _to_write(source, rgb, image_format, encoding)
        if source.animation is None and space is Space.RGB:
            data = _encoded_array(pixels, image_format, encoding.quality, metadata)
            if data:
                return data
        options = _settings(source, image_format, encoding.quality)
        options |= options_for(metadata, image_format)
        if source.animation:
            options |= _animation_options(source, rest, image_format)
        buffer = io.BytesIO()
        _as_image(pixels, space).save(buffer, image_format.value, **options)
        data = buffer.getvalue()
        if image_format is ImageFormat.JPEG2000:
            return jp2_boxes.with_metadata(data, metadata)
        return data


def encode_tiff(
    results: Iterable[tuple[DecodedImage, AnyRgbImage]], encoding: Encoding, file: BinaryIO
) -> None:
    """Encode results as a TIFF right into a file: large ones would take much memory.

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
    writer: tiff.Writer | None = None
    for source, rgb in results:
        writer = writer or tiff.Writer(source.pages, file)
        with _limits_are_told(ImageFormat.TIFF):
            writer.add(_new_page(source, rgb, encoding))
    assert writer
    writer.finish()


def _encoded_array(
    pixels: AnyPlanes, image_format: ImageFormat, quality: int, metadata: Metadata
) -> bytes:
    """Encode pixels of formats that need no Pillow for it; empty for the others."""
    match image_format:
        case ImageFormat.PNG:
            return codecs.encode_png(pixels, png_chunks(metadata))
        case ImageFormat.JPEG:
            return codecs.encode_jpeg(pixels, quality, jpeg_segments(metadata))
        case ImageFormat.PPM if pixels.dtype == np.uint16:
            return codecs.encode_ppm(pixels)
        case ImageFormat.JPEG2000 if pixels.dtype == np.uint16:
            return jp2_boxes.with_metadata(codecs.encode_jpeg_2000(pixels), metadata)
        case _:
            return b""


def _to_write(
    source: DecodedImage, rgb: AnyRgbImage, image_format: ImageFormat, encoding: Encoding
) -> tuple[AnyPlanes, Space, Metadata]:
    """Return the pixels as they are written, opacity as the last channel, and what goes along."""
    space = color_profiles.space_of(source.profile)
    if encoding.source_profile and source.profile and space is not Space.GRAY and space:
        holds_cmyk = image_format in (ImageFormat.JPEG, ImageFormat.TIFF)
        if space is Space.CMYK and not holds_cmyk:
            raise OutputError(f"{image_format} cannot hold CMYK", "use --icc srgb, or --format tif")
        opaque = space is Space.CMYK or not image_format.holds_transparency
        converted = color_profiles.from_srgb(
            on_white(source, rgb) if opaque else rgb, source.profile, space
        )
        metadata = replace(source.metadata, icc_profile=source.profile)
        return (converted if opaque else _with_alpha(source, converted)), space, metadata
    if image_format.holds_transparency:
        return _with_alpha(source, rgb), Space.RGB, source.metadata
    return on_white(source, rgb), Space.RGB, source.metadata


def _new_page(source: DecodedImage, rgb: AnyRgbImage, encoding: Encoding) -> tiff.NewPage:
    pixels, space, metadata = _to_write(source, rgb, ImageFormat.TIFF, encoding)
    channels = 4 if space is Space.CMYK else 3
    return tiff.NewPage(pixels, space, pixels.shape[2] > channels, metadata)


def _settings(source: DecodedImage, image_format: ImageFormat, quality: int) -> dict[str, Any]:
    """Return how Pillow is to encode a format."""
    settings: dict[ImageFormat, dict[str, Any]] = {
        ImageFormat.JPEG: {"quality": quality, "subsampling": 0 if quality >= 90 else 2},
        ImageFormat.PNG: {"compress_level": 4},
        ImageFormat.WEBP: {"quality": quality, "exact": True, "lossless": source.lossless},
        ImageFormat.AVIF: {
            "quality": quality,
            "subsampling": "4:4:4" if quality >= 90 else "4:2:0",
        },
    }
    return settings.get(image_format, {})


def _animation_options(
    source: DecodedImage, rest: list[tuple[DecodedImage, AnyPlanes]], image_format: ImageFormat
) -> dict[str, Any]:
    """Return what Pillow's ``save`` needs for the frames behind the first."""
    assert source.animation
    durations = [source.milliseconds, *(frame.milliseconds for frame, _ in rest)]
    options: dict[str, Any] = {
        "save_all": True,
        "append_images": [_as_image(pixels, Space.RGB) for _, pixels in rest],
        "duration": [round(value) for value in durations],
    }
    if source.animation.loops is not None:
        options["loop"] = source.animation.loops
    if image_format is ImageFormat.GIF:
        options["disposal"] = 2  # frames may be transparent where the one before is not
    return options


def _as_image(pixels: AnyPlanes, space: Space) -> Image.Image:
    if space is Space.CMYK:
        return Image.fromarray(pixels, "CMYK")
    return Image.fromarray(pixels)


def _with_alpha(source: DecodedImage, rgb: AnyPlanes) -> AnyPlanes:
    return rgb if source.alpha is None else np.dstack((rgb, source.alpha))


def on_white(source: DecodedImage, rgb: AnyRgbImage) -> AnyRgbImage:
    """Lay a transparent picture on white paper."""
    if source.alpha is None:
        return rgb
    top = np.iinfo(rgb.dtype).max
    alpha = source.alpha

    def laid(rows: slice) -> AnyPlanes:
        opacity = alpha[rows, :, None].astype(np.float32) / np.float32(top)
        paper: AnyPlanes = np.rint(rgb[rows] * opacity + top * (1 - opacity))
        return paper

    return map_row_strips(laid, tuple(rgb.shape), rgb.dtype)


@contextmanager
def _limits_are_told(image_format: ImageFormat) -> Iterator[None]:
    """Turn what encoders fail with into an `OutputError`: they raise whatever a limit leads to."""
    try:
        yield
    except (RecolorError, MemoryError):
        raise
    except OSError as error:
        if error.errno:  # the disk's, which the writing tells
            raise
        raise _unwritable(image_format, error) from error
    except Exception as error:
        raise _unwritable(image_format, error) from error


def _unwritable(image_format: ImageFormat, error: Exception) -> OutputError:
    return OutputError(f"cannot be written as {image_format}: {error}", "try --format png")
