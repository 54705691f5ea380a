"""Bytes to pixels and back: formats, orientation, metadata, a write that is never half done.

Pillow does the codecs: it tells a picture's size before it decodes it and keeps EXIF, XMP, ICC and
DPI in every format, where OpenCV loses some of them in each. On JPEG both are equally fast.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import platform
import re
import secrets
import struct
import sys
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

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

# Bytes that one pixel takes at the peak of decoding, recoloring and encoding, measured at 9
# megapixels and rounded up: 16 for RGB and 22 with transparency, 35 and 50 in WebP.
_BYTES_PER_PIXEL = 24
_BYTES_PER_PIXEL_WEBP = 52  # AVIF is taken to be as hungry

_TEMPORARY = re.compile(r"\.recolor-([0-9a-f]+)-(\d+)-[0-9a-f]+\.tmp")

# TIFF tags that tell how pixels lie in that one file; and profile and XMP, which go their own way.
_LAYOUT_TAGS = (
    {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281}
    | {284, 288, 289, 290, 291, 292, 293, 297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325}
    | {330, 332, 333, 334, 336, 338, 339, 340, 341, 342, 347, 529, 530, 531, 532, 700, 34675}
    | set(range(512, 522))
)
_PHOTOMETRIC, _ORIENTATION = 262, 274
_EXIF_BLOCKS = (34665, 34853)  # of the camera and of the place
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _INCH = 282, 283, 296, 2
_XMP_TAG, _XMP_KEY = 700, "XML:com.adobe.xmp"
_PLAIN_TAGS = {_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _XMP_TAG}


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
        If it is missing, cannot be read, or is larger than the memory.
    """
    try:
        if path.stat().st_size > available_memory():
            raise InputError("the file is larger than the free memory", "use a larger machine")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError("no such file", "check the name, and that the disk is there") from error
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", "check its permissions, and that it is a file"
        ) from error


def memory_needed(data: bytes, target: ImageFormat | None = None) -> int:
    """Return the bytes of memory that decoding, recoloring and encoding a picture take.

    Its header alone is looked at.

    Parameters
    ----------
    data : bytes
        An encoded file.
    target : ImageFormat or None
        What it is to be encoded as; None is its own format.

    Raises
    ------
    InputError
        If it is empty, of no format that we read, or damaged.
    """
    with _opened(data) as image:
        hungry = {ImageFormat.WEBP, ImageFormat.AVIF} & {image.format, target}
        per_pixel = _BYTES_PER_PIXEL_WEBP if hungry else _BYTES_PER_PIXEL
        return image.width * image.height * per_pixel


def decode(data: bytes) -> DecodedImage:
    """Decode a picture, turned upright as its EXIF says and converted to sRGB by its profile.

    Parameters
    ----------
    data : bytes
        An encoded file, in any format of `ImageFormat`. `memory_needed` says what it will take.

    Raises
    ------
    InputError
        If it is empty, of no format that we read, or damaged.
    """
    with _opened(data) as image:
        try:
            return _decoded(image)
        except (InputError, MemoryError):
            raise
        except Exception as error:  # decoders fail with whatever a broken file leads them to
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
    options = settings[image_format] | source.metadata
    if image_format is ImageFormat.PNG and "xmp" in options:
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt(_XMP_KEY, options["xmp"].decode("utf-8", "replace"))
    elif image_format is ImageFormat.TIFF:
        options |= _as_tiff_tags(source.metadata)
    elif image_format in (ImageFormat.WEBP, ImageFormat.AVIF) and "dpi" in options:
        options["exif"] = _with_resolution(options.get("exif", b""), options["dpi"])
    buffer = io.BytesIO()
    try:
        image.save(buffer, image_format.value, **options)
    except MemoryError:
        raise
    except Exception as error:  # encoders fail with whatever a limit of theirs leads them to
        raise OutputError(
            f"cannot be written as {image_format.value}: {error}", "try --format png"
        ) from error
    return buffer.getvalue()


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all.

    The bytes go to a temporary file in the same folder, which then takes the name.

    Raises
    ------
    OutputError
        If the folder cannot be made or written to, or the disk is full.
    """
    # The process's number is in the name, so that `remove_leftovers` knows whether it still runs.
    temporary = path.with_name(f".recolor-{_host()}-{os.getpid()}-{secrets.token_hex(6)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(data)
            temporary.replace(path)
        except BaseException:  # also when interrupted: leave nothing half written
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        advice = "choose a folder that you may write to and that has room, with -o"
        if error.errno == errno.ENAMETOOLONG:
            advice = "choose a shorter name, with --suffix or -o"
        raise OutputError(f"cannot write {path}: {error.strerror or error}", advice) from error


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of runs that were killed; those of running ones stay."""
    with contextlib.suppress(OSError):  # no such folder yet, or not ours to clean
        for path in list(folder.iterdir()):
            match = _TEMPORARY.fullmatch(path.name)
            if match and match[1] == _host() and not _is_running(int(match[2])):
                path.unlink(missing_ok=True)


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
    with contextlib.suppress(OSError, ValueError):
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8").rpartition("::/")[2].strip()
        for part in (group / own, *(group / own).parents):
            if part.is_relative_to(group):
                free = min(free, _left_in(part))
    return free


def _left_in(group: Path) -> int:
    """Return what a control group's limit leaves; the page cache is given back when needed."""
    try:
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
        statistics = (group / "memory.stat").read_text(encoding="ascii").split()
        cache = int(statistics[statistics.index("inactive_file") + 1])
    except (OSError, ValueError):  # no limit ("max"), or no such group
        return sys.maxsize
    return max(limit - used + cache, 0)


def _host() -> str:
    """Return a short name of this machine: on a network share others' processes are not ours."""
    return hashlib.blake2b(platform.node().encode(), digest_size=3).hexdigest()


def _is_running(process: int) -> bool:
    if sys.platform == "win32":  # there the question itself would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _opened(data: bytes) -> Image.Image:
    """Read a picture's header."""
    if not data:
        raise InputError("the file is empty", "copy or scan it again")
    try:
        return Image.open(io.BytesIO(data), formats=list(ImageFormat))
    except UnidentifiedImageError as error:
        raise _unknown(data) from error
    except Exception as error:  # as in `decode`
        raise _damaged(error) from error


def _decoded(image: Image.Image) -> DecodedImage:
    """Load the pixels of an opened picture and gather its metadata."""
    warnings = []
    if (frames := getattr(image, "n_frames", 1)) > 1 and image.format != "MPO":
        warnings.append(f"only the first of its {frames} pages or frames is recolored")
    if _bits(image) > 8:
        warnings.append("its 16 bits a channel are reduced to 8")
    # MPO is a JPEG with more pictures behind the first, as phones write it.
    image_format = ImageFormat.JPEG if image.format == "MPO" else ImageFormat(str(image.format))
    exif = image.info.get("exif", b"")  # as it is in the file
    for block in _EXIF_BLOCKS:
        image.getexif().get_ifd(block)  # in a TIFF it is out of reach once the pixels are loaded
    ImageOps.exif_transpose(image, in_place=True)  # loads the pixels
    metadata = _metadata(image, exif)
    if image.mode.startswith("I;16"):  # Pillow's own conversion cuts off at 255
        levels = (np.asarray(image).astype(np.float32) / 257).round().astype(np.uint8)
        white_is_zero = getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0
        info, image = image.info, Image.fromarray(255 - levels if white_is_zero else levels)
        image.info = info  # the profile is still to be applied
    alpha = None
    if image.has_transparency_data:
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    elif image.mode not in ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"):
        raise InputError(
            f"its pixels are of the kind {image.mode}, which cannot be read",
            "convert it first: magick FILE -depth 8 -colorspace sRGB out.png",
        )
    rgb = _to_srgb(image, metadata, warnings)
    return DecodedImage(rgb, alpha, image_format, metadata, tuple(warnings))


def _to_srgb(image: Image.Image, metadata: dict[str, Any], warnings: list[str]) -> RgbImage:
    """Return the pixels as sRGB, by the embedded profile if there is one."""
    embedded = image.info.get("icc_profile")
    if embedded:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
            space = profile.profile.xcolor_space.strip()
            if space == "RGB" and "sRGB" in ImageCms.getProfileDescription(profile):
                metadata["icc_profile"] = embedded
            else:
                plain = image.convert({"GRAY": "L", "CMYK": "CMYK"}.get(space, "RGB"))
                srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
                metadata["icc_profile"] = srgb.tobytes()
                converted = ImageCms.profileToProfile(plain, profile, srgb, outputMode="RGB")
                return np.asarray(converted)
        except (ImageCms.PyCMSError, OSError) as error:
            metadata.pop("icc_profile", None)
            warnings.append(f"its color profile cannot be used, it is read as sRGB: {error}")
    elif image.mode == "CMYK":
        warnings.append("it is CMYK without a profile, and is converted to RGB by rule of thumb")
    return np.asarray(image.convert("RGB"))


def _metadata(image: Image.Image, raw_exif: bytes) -> dict[str, Any]:
    """Return what ``save`` is to be given so that the result carries it, too."""
    metadata: dict[str, Any] = {}
    exif = image.getexif()
    for tag in _LAYOUT_TAGS & set(exif):
        del exif[tag]
    dpi = tuple(float(value) for value in image.info.get("dpi", ()))
    if len(dpi) == 2 and min(dpi) > 1:  # 1 dpi is a mere aspect ratio
        metadata["dpi"] = dpi
    # The file's own block where it can be patched: Pillow's would lose texts in UTF-8.
    if exif:
        metadata["exif"] = _upright(raw_exif) or exif.tobytes()
    xmp = image.info.get("xmp") or image.info.get(_XMP_KEY)
    if xmp:
        metadata["xmp"] = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
    return metadata


def _upright(exif: bytes) -> bytes:
    """Return an EXIF block that says upright and has no thumbnail, else untouched; empty if odd.

    The first directory's entries are 12 bytes each: tag, type, count, value; behind them stands the
    offset of the second directory, the thumbnail's (TIFF 6.0, section 2; EXIF 2.32, section 4.5).
    """
    block = bytearray(exif.removeprefix(b"Exif\0\0"))
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(block[:4]))
    if order is None:
        return b""
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            if struct.unpack_from(order + "H", block, entry) == (_ORIENTATION,):
                struct.pack_into(order + "HIHH", block, entry + 2, 3, 1, 1, 0)  # SHORT, one, 1
        struct.pack_into(order + "I", block, start + 2 + 12 * count, 0)
    except struct.error:
        return b""
    return b"Exif\0\0" + bytes(block)


def _with_resolution(exif: bytes, dpi: tuple[float, float]) -> bytes:
    """Return an EXIF block that tells the resolution, for formats with no other place for it."""
    block = Image.Exif()
    block.load(exif)
    rebuilt = all(value.isascii() for value in block.values() if isinstance(value, str))
    if _X_RESOLUTION in block or not rebuilt:  # Pillow would spoil texts in UTF-8
        return exif
    block[_X_RESOLUTION], block[_Y_RESOLUTION], block[_RESOLUTION_UNIT] = *dpi, _INCH
    return block.tobytes()


def _as_tiff_tags(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the options that put EXIF and XMP among a TIFF's own tags."""
    exif = Image.Exif()
    exif.load(metadata.get("exif", b""))
    if "xmp" in metadata:
        exif[_XMP_TAG] = metadata["xmp"]
    options: dict[str, Any] = {"exif": exif.tobytes()} if exif else {}
    if not all(isinstance(value, str) or tag in _PLAIN_TAGS for tag, value in exif.items()):
        # Pillow's compressing writer cannot hold blocks within blocks, as the date of a photograph.
        options["compression"] = None
    return options


def _bits(image: Image.Image) -> int:
    """Return the bits of a channel in the file, which Pillow's mode does not always tell."""
    if image.format == "TIFF":
        return int(max(cast(Any, image).tag_v2.get(258, (1,))))
    if image.format == "PNG":
        # Set by Pillow's reader for the 16-bit modes: the raw mode that it unpacks from.
        return 16 if any("16" in str(tile.args) for tile in cast(Any, image).tile) else 8
    return 8


def _unknown(data: bytes) -> InputError:
    """Say what a file is, if it is a known stranger."""
    known = "JPEG, PNG, WebP, TIFF and AVIF can be read"
    for signature, offset, name, help_text in _CONVERTERS:
        if data[offset : offset + len(signature)] == signature:
            return InputError(f"it is a {name} file, which cannot be read", help_text)
    return InputError("it is no picture, is cut off, or of an unknown kind", known)


def _damaged(error: Exception) -> InputError:
    return InputError(f"the picture is damaged: {error}", "copy or scan it again")
