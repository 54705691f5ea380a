"""Bytes to pixels: formats, orientation, profiles, bit depth, pages and frames.

Pillow does the codecs of 8 bits: it tells a picture's size before it decodes it and keeps EXIF,
XMP, ICC and DPI, where OpenCV loses some of them in each format. `raster` and `tiff` do the others.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from recolor_cli.errors import InputError, RecolorError
from recolor_cli.image import codecs, color_profiles, exif, gif_canvas, jp2_boxes, png_color, tiff
from recolor_cli.image.codecs import STRIP_PIXELS, map_row_strips
from recolor_cli.image.color_profiles import Space
from recolor_cli.image.formats import ImageFormat, unrecognized_format, unsupported_format
from recolor_cli.image.metadata import Metadata, of_image
from recolor_cli.types import AnyPlanes, AnyRgbImage, ImageSize

if TYPE_CHECKING:
    import tifffile

# Scans of several hundred megapixels are everyday here; `memory_needed` lets the caller decide.
Image.MAX_IMAGE_PIXELS = None

# Bytes that one pixel takes at the peak of decoding, recoloring and encoding, measured at 16
# megapixels and rounded up: 10 of RGB with transparency, 21 of 16 bits, 42 in JPEG 2000; and 50 in
# WebP at 9 megapixels.
_BYTES_PER_PIXEL = 14
_BYTES_PER_PIXEL_DEEP = 26
_BYTES_PER_PIXEL_HUNGRY = 52
_HUNGRY = {ImageFormat.WEBP, ImageFormat.AVIF, ImageFormat.JPEG2000}  # AVIF was not measured
_BYTES_PER_PIXEL_OF_A_FRAME = 8  # of an animation, whose results are encoded together

_GRAY_MODES = ("1", "L", "LA", "La")
_COLOR_MODES = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr")


@dataclass(frozen=True, slots=True)
class Animation:
    """How frames follow each other.

    Parameters
    ----------
    frames : int
    loops : int or None
        How often they are shown, 0 for ever, as the file says it; None if it does not.
    """

    frames: int
    loops: int | None


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A picture in memory, upright, with what must not get lost on the way.

    Parameters
    ----------
    rgb : uint8 or uint16 array, shape (H, W, 3)
        sRGB; gray and palette pictures are expanded.
    alpha : array of the same dtype, shape (H, W), or None
        Opacity.
    format : ImageFormat
        Of the file that it came from.
    metadata : Metadata
    warnings : tuple of str
        What of the file could not be kept.
    profile : bytes
        The file's own, if it is another than sRGB.
    lossless : bool
        Whether it was a WebP without losses.
    pages : int
        How many pictures the result is to hold.
    animation : Animation or None
    milliseconds : float
        How long the frame of an animation is shown.
    """

    rgb: AnyRgbImage
    alpha: AnyPlanes | None
    format: ImageFormat
    metadata: Metadata = field(default_factory=Metadata)
    warnings: tuple[str, ...] = ()
    profile: bytes = b""
    lossless: bool = False
    pages: int = 1
    animation: Animation | None = None
    milliseconds: float = 0.0

    @property
    def size(self) -> ImageSize:
        """Height and width, px."""
        return ImageSize(self.rgb.shape[0], self.rgb.shape[1])


@dataclass(frozen=True, slots=True)
class Header:
    """What a file's header says that it holds.

    Parameters
    ----------
    pixels : int
        Of all frames of an animation, or of the largest page.
    memory : int
        Bytes that decoding, recoloring and encoding it take.
    """

    pixels: int
    memory: int


def probe(data: bytes, target: ImageFormat | None = None) -> Header:
    """Return what a file declares, without decoding a pixel.

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
    if data.startswith(tiff.SIGNATURES):
        with _damage_is_told(), _opened_tiff(data) as file:
            found = _pages(file, data, target or ImageFormat.TIFF)
            largest = max(page.declared_pixels for page in found)
            is_16_bit = any(page.bits > 8 for page in found)
            per_pixel = _per_pixel(is_16_bit, {target})
            if any(page.is_float for page in found):
                per_pixel += max(page.bits for page in found) // 2  # four channels as they are
            return Header(largest, largest * per_pixel)
    with _opened(data) as image:
        source = _format_of(image)
        pixels = image.width * image.height
        if source is ImageFormat.GIF:
            pixels = max(pixels, gif_canvas.canvas_pixels(data))
        memory = pixels * _per_pixel(codecs.is_16_bit(data, source), {source, target})
        with _damage_is_told():
            frames = _frames(image, source, target or source)
        if frames > 1:
            memory += frames * pixels * _BYTES_PER_PIXEL_OF_A_FRAME
        return Header(frames * pixels, memory)


def decode(data: bytes) -> DecodedImage:
    """Decode a picture of 8 bits a channel, to look at or to learn from.

    It is turned upright as its EXIF says and converted to sRGB by its profile.

    Parameters
    ----------
    data : bytes
        An encoded file, in any format of `ImageFormat`. `probe` says what it will take. Of
        several pages or frames it is the first, and 16 bits are reduced.

    Raises
    ------
    InputError
        If it is empty, of no format that we read, or damaged.
    """
    picture = next(decode_pages(data))
    if picture.rgb.dtype == np.uint8:
        return picture
    alpha = None if picture.alpha is None else _to_8_bits(picture.alpha)
    return replace(picture, rgb=_to_8_bits(picture.rgb), alpha=alpha)


def decode_mask(data: bytes) -> NDArray[np.uint8]:
    """Decode a picture that says where to recolor.

    Parameters
    ----------
    data : bytes
        As for `decode`.

    Returns
    -------
    uint8 array, shape (H, W)
        The mean of its channels: 255 where it is white; transparent is black.

    Raises
    ------
    InputError
        As `decode`, and if it is black all over.
    """
    picture = decode(data)
    mask: NDArray[Any] = np.rint(picture.rgb.mean(axis=2))
    if picture.alpha is not None:
        mask = np.rint(mask * picture.alpha / 255)
    if not mask.any():
        raise InputError(
            "the mask is black all over: nothing would be recolored",
            "paint white where there is to be new color; what is transparent counts as black",
        )
    return mask.astype(np.uint8)


def decode_pages(data: bytes, target: ImageFormat | None = None) -> Iterator[DecodedImage]:
    """Decode the pictures of a file one after the other, with all their bits.

    Parameters
    ----------
    data : bytes
        As for `decode`.
    target : ImageFormat or None
        What they are to be encoded as; None is the file's own format. What it cannot hold is left
        out here, with a warning: further pages and frames, and 16 bits a channel.

    Raises
    ------
    InputError
        As `decode`.
    """
    if data.startswith(tiff.SIGNATURES):
        with _damage_is_told(), _opened_tiff(data) as file:
            yield from _tiff_pages(file, data, target or ImageFormat.TIFF)
        return
    with _opened(data) as image, _damage_is_told():
        source = _format_of(image)
        warning = ""
        if source is ImageFormat.PNG:
            embedded = image.info.get("icc_profile") or b""
            image.info["icc_profile"], warning = png_color.color_profile(data, embedded)
        if (frames := _frames(image, source, target or source)) > 1:
            for frame in _animation_frames(image, source, frames):
                yield _warned(frame, warning)
            return
        picture = _warned(_decoded(image, source, data, target or source), warning)
        held = getattr(image, "n_frames", 1)
        if held > 1 and image.format != "MPO":
            picture = _warned(picture, f"only the first of its {held} frames is recolored")
        image.close()  # its copy of the pixels would stay for as long as the result is made
    yield picture


def _opened(data: bytes) -> Image.Image:
    """Read a picture's header."""
    if not data:
        raise InputError("the file is empty", "copy or scan it again")
    with _damage_is_told():
        try:
            return Image.open(io.BytesIO(data), formats=list(ImageFormat))
        except UnidentifiedImageError as error:
            damaged = InputError("the picture is damaged: its header", "copy or scan it again")
            raise unsupported_format(data) or unrecognized_format(data) or damaged from error


@contextmanager
def _opened_tiff(data: bytes) -> Iterator[tifffile.TiffFile]:
    if error := unsupported_format(data):  # cameras dress up their own formats as TIFF
        raise error
    with tiff.opened(data) as file:
        yield file


def _format_of(image: Image.Image) -> ImageFormat:
    # MPO is a JPEG with more pictures behind the first, as phones write it.
    return ImageFormat.JPEG if image.format == "MPO" else ImageFormat(str(image.format))


def _per_pixel(is_16_bit: bool, formats: set[ImageFormat | None]) -> int:
    if _HUNGRY & formats:
        return _BYTES_PER_PIXEL_HUNGRY
    return _BYTES_PER_PIXEL_DEEP if is_16_bit else _BYTES_PER_PIXEL


def _frames(image: Image.Image, source: ImageFormat, target: ImageFormat) -> int:
    """Return how many frames of an animation are to be recolored."""
    animated = source.holds_animations and target.holds_animations
    return int(getattr(image, "n_frames", 1)) if animated else 1


def _decoded(
    image: Image.Image, source: ImageFormat, data: bytes, target: ImageFormat
) -> DecodedImage:
    """Load the pixels of an opened picture and gather its metadata."""
    if source is ImageFormat.JPEG2000:
        image.info |= {"exif": jp2_boxes.raw_exif(data), "icc_profile": jp2_boxes.icc_profile(data)}
        image.info["xmp"] = jp2_boxes.xmp(data)
    if codecs.is_16_bit(data, source):
        orientation = image.getexif().get(exif.ORIENTATION, 1)
        levels = codecs.decode(data, source).astype(np.uint16, copy=False)
        image.load()  # a PNG's texts may stand behind its pixels
        metadata = of_image(image, image.info.get("exif", b""))
        return apply_orientation(_of_array(levels, image, metadata, source, target), orientation)
    raw_exif = image.info.get("exif", b"")  # as it is in the file
    if source is ImageFormat.JPEG and image.mode in ("L", "RGB"):
        metadata = of_image(image, raw_exif)
        pixels = codecs.decode_jpeg(data)
        return apply_orientation(
            _of_array(pixels, image, metadata, source, target),
            image.getexif().get(exif.ORIENTATION, 1),
        )
    ImageOps.exif_transpose(image, in_place=True)  # loads the pixels
    metadata = of_image(image, raw_exif)
    picture = _of_pillow(image, metadata, source, target)
    lossless = source is ImageFormat.WEBP and b"VP8L" in (data[12:16], *_webp_chunks(data))
    return replace(picture, lossless=lossless) if lossless else picture


def _of_array(
    levels: AnyPlanes,
    image: Image.Image,
    metadata: Metadata,
    source: ImageFormat,
    target: ImageFormat,
) -> DecodedImage:
    """Return pixels that were not decoded by Pillow, of which an even channel is opacity."""
    pixels, alpha = _split(levels)
    space = Space.GRAY if pixels.ndim == 2 else Space.RGB
    profile = image.info.get("icc_profile") or b""
    return _converted(pixels, space, alpha, profile, source, metadata, target)


def _of_pillow(
    image: Image.Image, metadata: Metadata, source: ImageFormat, target: ImageFormat
) -> DecodedImage:
    """Return the pixels of a loaded picture of 8 bits a channel or fewer."""
    alpha = None
    if image.has_transparency_data:
        alpha = _array_of(image, "RGBA", 3)
    profile = image.info.get("icc_profile") or b""
    if image.mode == "CMYK":
        space = Space.CMYK
    elif image.mode in _GRAY_MODES:
        space = Space.GRAY
    elif image.mode in _COLOR_MODES:
        space = Space.RGB
    else:
        raise InputError(
            f"its pixels are of the kind {image.mode}, which cannot be read",
            "convert it first: magick FILE -depth 8 -colorspace sRGB out.png",
        )
    if space is Space.GRAY and color_profiles.space_of(profile) is not Space.GRAY:
        space = Space.RGB  # Pillow expands it
    modes = {Space.GRAY: "L", Space.CMYK: "CMYK", Space.RGB: "RGB"}
    pixels = _array_of(image, modes[space])
    return _converted(pixels, space, alpha, profile, source, metadata, target)


def _array_of(image: Image.Image, mode: str, channel: int | None = None) -> NDArray[np.uint8]:
    """Return a picture's pixels in a mode, or one channel; never two copies of the whole."""
    bands = Image.getmodebands(mode) if channel is None else 1
    shape = (image.height, image.width, bands) if bands > 1 else (image.height, image.width)
    result = np.empty(shape, np.uint8)
    rows = max(1, STRIP_PIXELS // image.width)
    for start in range(0, image.height, rows):
        strip = image.crop((0, start, image.width, min(start + rows, image.height)))
        part = np.asarray(strip if image.mode == mode else strip.convert(mode))
        result[start : start + rows] = part if channel is None else part[..., channel]
    return result


def _converted(
    pixels: AnyPlanes,
    space: Space,
    alpha: AnyPlanes | None,
    profile: bytes,
    source: ImageFormat,
    metadata: Metadata,
    target: ImageFormat,
) -> DecodedImage:
    """Bring pixels to sRGB by their profile, and to the bits that the target holds."""
    warnings = []
    rgb: AnyRgbImage | None = None
    own = b""
    if profile:
        if space is Space.GRAY and color_profiles.space_of(profile) is Space.RGB:
            pixels, space = _expanded(pixels), Space.RGB
        try:
            if color_profiles.space_of(profile) is not space:
                raise InputError("it is of another kind of color")
            if space is Space.RGB and color_profiles.is_srgb(profile):
                metadata = replace(metadata, icc_profile=profile)
            else:
                rgb = color_profiles.to_srgb(pixels, profile, space)
                metadata, own = replace(metadata, icc_profile=color_profiles.SRGB), profile
        except InputError as error:
            warnings.append(
                f"its color profile cannot be used, it is read as sRGB: {error.message}"
            )
    elif space is Space.CMYK:
        warnings.append("it is CMYK without a profile, and is converted to RGB by rule of thumb")
    if rgb is None:
        rgb = naive_cmyk_to_rgb(pixels) if space is Space.CMYK else _expanded(pixels)
    if rgb.dtype == np.uint16 and not target.holds_16_bits:
        warnings.append(f"its 16 bits a channel are reduced to 8, as {target} holds no more")
        rgb, alpha = _to_8_bits(rgb), None if alpha is None else _to_8_bits(alpha)
    if alpha is not None and not target.holds_transparency:
        warnings.append(f"its transparency lies on white, as {target} holds none")
    return DecodedImage(rgb, alpha, source, metadata, tuple(warnings), own)


def _tiff_pages(
    file: tifffile.TiffFile, data: bytes, target: ImageFormat
) -> Iterator[DecodedImage]:
    """Decode the pages of a TIFF."""
    found = _pages(file, data, target)
    held = len(tiff.pages(file, data)) if target is not ImageFormat.TIFF else 1
    for page in found:
        picture = replace(_tiff_page(file, data, page, target), pages=len(found))
        if held > 1:
            picture = _warned(picture, f"only the first of its {held} pages is recolored")
        yield picture


def _tiff_page(
    file: tifffile.TiffFile, data: bytes, page: tiff.Page, target: ImageFormat
) -> DecodedImage:
    """Decode a page of a TIFF."""
    if page.bits > 8 or page.is_lab or page.is_plain:
        pixels, space, alpha = tiff.read_other(file, data, page)
        profile = b"" if page.is_lab else page.icc_profile
        picture = _converted(pixels, space, alpha, profile, ImageFormat.TIFF, page.metadata, target)
        if page.is_float:
            read_as = "" if profile else "read as sRGB and "
            picture = _warned(picture, f"its floating-point levels are {read_as}kept in 16 bits")
        return apply_orientation(picture, page.orientation)
    with Image.open(io.BytesIO(data), formats=["TIFF"]) as image:
        image.seek(page.index)
        image.load()  # turns it upright, too
        return _of_pillow(image, page.metadata, ImageFormat.TIFF, target)


def _pages(file: tifffile.TiffFile, data: bytes, target: ImageFormat) -> list[tiff.Page]:
    """Return the pages of a TIFF that the target holds."""
    found = tiff.pages(file, data)
    if not found:
        raise InputError("there is no picture in it", "scan it again")
    return found if target is ImageFormat.TIFF else found[:1]


def _animation_frames(
    image: Image.Image, source: ImageFormat, frames: int
) -> Iterator[DecodedImage]:
    """Decode the frames of an animation, each as it is shown."""
    raw_exif = image.info.get("exif", b"")
    animation = Animation(frames, image.info.get("loop"))
    metadata = None
    for frame in ImageSequence.Iterator(image):
        shown = frame.convert("RGBA")  # some decoders tell the time when they have decoded
        milliseconds = float(frame.info.get("duration", 0))
        if metadata is None:
            metadata = of_image(image, raw_exif)
        shown.info = frame.info | {"transparency": None}
        reset_orientation = ImageOps.exif_transpose(shown)
        picture = _of_pillow(reset_orientation, metadata, source, source)
        yield replace(picture, animation=animation, milliseconds=milliseconds)


def _split(levels: AnyPlanes) -> tuple[AnyPlanes, AnyPlanes | None]:
    """Take opacity, the second or fourth channel, from the others."""
    if levels.ndim == 2 or levels.shape[2] == 3:
        return levels, None
    pixels = levels[..., :-1]
    return (pixels[..., 0] if levels.shape[2] == 2 else pixels), levels[..., -1]


def _expanded(pixels: AnyPlanes) -> AnyRgbImage:
    if pixels.ndim != 2:
        return pixels
    # A tenth of the time that numpy takes; by strips, as OpenCV copies what is not contiguous.
    return map_row_strips(
        lambda rows: cast(AnyPlanes, cv2.merge([pixels[rows]] * 3)),
        (*pixels.shape, 3),
        pixels.dtype,
    )


def naive_cmyk_to_rgb(cmyk: AnyPlanes) -> AnyRgbImage:
    """Convert CMYK that has no profile."""
    top = int(np.iinfo(cmyk.dtype).max)

    def printed(rows: slice) -> AnyPlanes:
        ink = cmyk[rows].astype(np.float32) / top
        return np.rint((1 - ink[..., :3]) * (1 - ink[..., 3:]) * top)

    return map_row_strips(printed, (*cmyk.shape[:2], 3), cmyk.dtype)


def _to_8_bits(levels: AnyPlanes) -> NDArray[np.uint8]:
    return map_row_strips(
        lambda rows: np.rint(levels[rows] / np.float32(257)), levels.shape, np.dtype(np.uint8)
    )


def apply_orientation(picture: DecodedImage, orientation: int) -> DecodedImage:
    """Turn a picture upright; `orientation` is EXIF's, 1..8."""
    if orientation not in range(2, 9):
        return picture

    def turn(plane: AnyPlanes) -> AnyPlanes:
        if orientation >= 5:
            plane = plane.swapaxes(0, 1)
        rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
        columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
        return np.ascontiguousarray(plane[rows, columns])

    alpha = None if picture.alpha is None else turn(picture.alpha)
    return replace(picture, rgb=turn(picture.rgb), alpha=alpha)


def _webp_chunks(data: bytes) -> Iterator[bytes]:
    """Return the names of a WebP's chunks."""
    at = 12
    while at + 8 <= len(data):
        yield data[at : at + 4]
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2


def _warned(picture: DecodedImage, warning: str) -> DecodedImage:
    return replace(picture, warnings=(*picture.warnings, warning)) if warning else picture


@contextmanager
def _damage_is_told() -> Iterator[None]:
    """Turn what decoders fail with into an `InputError`: they raise whatever a file leads to."""
    try:
        yield
    except (RecolorError, MemoryError, GeneratorExit):
        raise
    except Exception as error:
        raise InputError(f"the picture is damaged: {error}", "copy or scan it again") from error
