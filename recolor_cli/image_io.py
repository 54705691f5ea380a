"""Bytes to pixels and back: formats, orientation, metadata, a write that is never half done.

Pillow does the codecs: it tells a picture's size before it decodes it and keeps EXIF, XMP, ICC and
DPI in every format, where OpenCV loses some of them in each. On JPEG both are equally fast.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import struct
import zlib
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from recolor_cli.errors import InputError, OutputError
from recolor_cli.types import ImageSize, RgbImage

# Scans of several hundred megapixels are everyday here; `decode` has its own, better limit.
Image.MAX_IMAGE_PIXELS = None


class ImageFormat(StrEnum):
    """A file format that can be read and written; the value is Pillow's name."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    TIFF = "TIFF"
    AVIF = "AVIF"

    @classmethod
    def of_suffix(cls, suffix: str) -> ImageFormat | None:
        """Return the format of a file-name ending such as ``.jpg``, or None."""
        return _SUFFIXES.get(suffix.lower())

    @property
    def suffix(self) -> str:
        """The usual file-name ending, with its dot."""
        return next(suffix for suffix, image_format in _SUFFIXES.items() if image_format is self)


_SUFFIXES = {
    ".jpg": ImageFormat.JPEG,
    ".jpeg": ImageFormat.JPEG,
    ".jpe": ImageFormat.JPEG,
    ".jfif": ImageFormat.JPEG,
    ".png": ImageFormat.PNG,
    ".webp": ImageFormat.WEBP,
    ".tif": ImageFormat.TIFF,
    ".tiff": ImageFormat.TIFF,
    ".avif": ImageFormat.AVIF,
}

# Signatures of what people try and we do not read, and what helps then.
_CONVERTERS = (
    (b"%PDF", 0, "PDF", "extract the pictures first: pdfimages -all FILE prefix"),
    (b"ftypheic", 4, "HEIC", "convert it first: heif-convert FILE out.png"),
    (b"ftypheix", 4, "HEIC", "convert it first: heif-convert FILE out.png"),
    (b"ftypmif1", 4, "HEIC", "convert it first: heif-convert FILE out.png"),
    (b"<svg", 0, "SVG", "render it first: rsvg-convert FILE -o out.png"),
    (b"GIF8", 0, "GIF", "convert it first: magick FILE out.png"),
    (b"BM", 0, "BMP", "convert it first: magick FILE out.png"),
)

# What one pixel costs at the peak: Pillow's copy (4 bytes) and ours (3) of the picture and of the
# result, and the encoder's output.
_BYTES_PER_PIXEL = 18


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A picture in memory, upright, with what must not get lost on the way.

    Parameters
    ----------
    rgb : uint8 array, shape (H, W, 3)
        sRGB; gray and palette pictures are expanded.
    alpha : uint8 array, shape (H, W), or None
        Opacity, 0..255.
    format : ImageFormat
        Of the file that it came from.
    metadata : dict
        EXIF, XMP, ICC, DPI as Pillow's ``save`` takes them.
    warnings : tuple of str
        What of the file could not be kept.
    """

    rgb: RgbImage
    alpha: NDArray[np.uint8] | None
    format: ImageFormat
    metadata: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def size(self) -> ImageSize:
        """Height and width, px."""
        return ImageSize(self.rgb.shape[0], self.rgb.shape[1])


def read(path: Path) -> bytes:
    """Return what is in a file.

    Raises
    ------
    InputError
        If it cannot be read, or is empty.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError("no such file", "check the name, and that the disk is there") from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", "check its permissions") from error
    return data


def decode(data: bytes, share: int = 1) -> DecodedImage:
    """Decode a picture, turned upright as its EXIF says.

    Parameters
    ----------
    data : bytes
        An encoded file, in any format of `ImageFormat`.
    share : int
        How many pictures are in memory at a time; each may take this part of what is free.

    Raises
    ------
    InputError
        If it is empty, of no format that we read, damaged, or too large for the memory.
    """
    if not data:
        raise InputError("the file is empty", "copy or scan it again")
    try:
        image = Image.open(io.BytesIO(data), formats=list(ImageFormat))
    except UnidentifiedImageError as error:
        raise _unknown(data) from error
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise _damaged(error) from error
    with image:
        _check_memory(ImageSize(image.height, image.width), share)
        try:
            return _decoded(image)
        except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
            raise _damaged(error) from error


def encode(source: DecodedImage, rgb: RgbImage, image_format: ImageFormat, quality: int) -> bytes:
    """Encode a result with the transparency and the metadata of its source.

    Parameters
    ----------
    source : DecodedImage
        Where alpha and metadata come from.
    rgb : uint8 array, shape (H, W, 3), the size of the source
    image_format : ImageFormat
    quality : int
        1..100, for JPEG, WebP and AVIF; PNG and TIFF are lossless.

    Raises
    ------
    OutputError
        If the format cannot hold the picture, because of its size for example.
    """
    if source.alpha is None:
        image = Image.fromarray(rgb)
    elif image_format is ImageFormat.JPEG:  # no transparency there: as on white paper
        image = Image.new("RGB", rgb.shape[1::-1], "white")
        image.paste(Image.fromarray(rgb), mask=Image.fromarray(source.alpha))
    else:
        image = Image.fromarray(np.dstack((rgb, source.alpha)))
    settings: dict[ImageFormat, dict[str, Any]] = {
        ImageFormat.JPEG: {"quality": quality, "subsampling": 0 if quality >= 90 else 2},
        ImageFormat.PNG: {"compress_level": 4},
        ImageFormat.WEBP: {"quality": quality, "exact": True},
        ImageFormat.TIFF: {"compression": "tiff_adobe_deflate"},
        ImageFormat.AVIF: {"quality": quality},
    }
    options = settings[image_format]
    metadata = dict(source.metadata)
    if (
        image_format is ImageFormat.TIFF
    ):  # Pillow would take a foreign EXIF block's tags as the file's own
        exif = metadata.pop("exif", None)
        if exif:
            options["tiffinfo"] = _descriptive_tags(exif)
    buffer = io.BytesIO()
    try:
        image.save(buffer, image_format.value, **options, **metadata)
    except (OSError, ValueError, struct.error) as error:
        raise OutputError(
            f"cannot be written as {image_format.value}: {error}", "try --format png"
        ) from error
    return buffer.getvalue()


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all.

    The bytes go to a temporary file in the same folder, which then takes the name. Its name is made
    from the target's, so what a killed run leaves behind is replaced by the next one.

    Raises
    ------
    OutputError
        If the folder cannot be made or written to, or the disk is full.
    """
    digest = hashlib.blake2b(os.fsencode(path.name), digest_size=6).hexdigest()
    temporary = path.with_name(f".recolor-{digest}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(data)
            temporary.replace(path)
        except BaseException:  # also when interrupted: leave nothing half written
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}",
            "choose a folder that you may write to and that has room, with -o",
        ) from error


def _decoded(image: Image.Image) -> DecodedImage:
    """Load the pixels of an opened picture and gather its metadata."""
    warnings = []
    if (frames := getattr(image, "n_frames", 1)) > 1 and image.format != "MPO":
        warnings.append(f"only the first of its {frames} pages or frames is recolored")
    if _bits(image) > 8:
        warnings.append("its 16 bits a channel are reduced to 8")
    if image.mode == "CMYK":
        warnings.append("it is CMYK and is converted to RGB without its profile")
    # MPO is a JPEG with more pictures behind the first, as phones write it.
    image_format = ImageFormat.JPEG if image.format == "MPO" else ImageFormat(str(image.format))
    ImageOps.exif_transpose(image, in_place=True)  # loads the pixels
    metadata = _metadata(image)
    if image.mode.startswith("I;16"):  # Pillow's own conversion cuts off at 255
        levels = (np.asarray(image).astype(np.float32) / 257).round().astype(np.uint8)
        image = Image.fromarray(levels)
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
    elif image.mode not in ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"):
        raise ValueError(f"its pixels are of the kind {image.mode}, which cannot be recolored")
    rgb = np.asarray(image.convert("RGB"))
    return DecodedImage(rgb, alpha, image_format, metadata, tuple(warnings))


def _metadata(image: Image.Image) -> dict[str, Any]:
    """Return what ``save`` is to be given so that the result carries it, too."""
    metadata: dict[str, Any] = {}
    exif = image.getexif()
    if exif:
        metadata["exif"] = exif.tobytes()  # without the thumbnail, which shows the old color
    icc = image.info.get("icc_profile")
    # Bytes 16..19 of a profile name its color space: one for gray or CMYK does not fit the result.
    if icc and icc[16:20] == b"RGB ":
        metadata["icc_profile"] = icc
    if xmp := image.info.get("xmp"):
        metadata["xmp"] = xmp
    dpi = image.info.get("dpi")
    if dpi and all(float(value) > 1 for value in dpi):  # 1 dpi is a mere aspect ratio
        metadata["dpi"] = tuple(float(value) for value in dpi)
    return metadata


def _descriptive_tags(exif: bytes) -> dict[int, Any]:
    """Return what an EXIF block says in words: titles, names, dates; nothing of how pixels lie."""
    block = Image.Exif()
    block.load(exif)
    return {tag: value for tag, value in block.items() if isinstance(value, str)}


def _bits(image: Image.Image) -> int:
    """Return the bits of a channel in the file, which Pillow's mode does not always tell."""
    if image.format == "TIFF":
        return int(max(cast(Any, image).tag_v2.get(258, (1,))))
    if image.format == "PNG":
        # Set by Pillow's reader for the 16-bit modes: the raw mode that it unpacks from.
        return 16 if any("16" in str(tile.args) for tile in cast(Any, image).tile) else 8
    return 8


def _check_memory(size: ImageSize, share: int) -> None:
    """Refuse a picture that would not fit, before a byte of it is decoded."""
    needed = size.pixels * _BYTES_PER_PIXEL
    free = available_memory() // share
    if needed > free:
        raise InputError(
            f"{size} pixels need about {needed / 2**30:.1f} GiB of memory, "
            f"{free / 2**30:.1f} GiB are free for one picture",
            "make it smaller first, or use fewer --jobs",
        )


def available_memory() -> int:
    """Return the bytes of memory that this process may still take, container limits included."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        values = dict(line.split(":", 1) for line in lines)
        free = int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux
        try:
            free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, OSError, ValueError):
            free = 8 * 2**30  # Windows has no sysconf; a common size
    group = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):  # "max", or no control groups at all
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
        free = min(free, max(limit - used, 0))
    return free


def _unknown(data: bytes) -> InputError:
    """Say what a file is, if it is a known stranger."""
    known = "JPEG, PNG, WebP, TIFF and AVIF can be read"
    for signature, offset, name, help_text in _CONVERTERS:
        if data[offset : offset + len(signature)] == signature:
            return InputError(f"it is a {name} file, which cannot be read", help_text)
    return InputError("it is no picture, or of an unknown kind", known)


def _damaged(error: Exception) -> InputError:
    return InputError(f"the picture is damaged: {error}", "copy or scan it again")
