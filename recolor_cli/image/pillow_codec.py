"""The codec of the formats that Pillow reads and writes, with hooks for what it does not do well.

Pillow knows a picture's size before it decodes it and keeps EXIF, XMP, ICC and resolution, where
OpenCV loses some of them in each format. It has no 16-bit color, and its copies take 4 bytes a
pixel: some formats decode and encode their pixels without it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from recolor_cli.color.row_strips import map_row_strips
from recolor_cli.errors import InputError, RecolorError
from recolor_cli.image import exif
from recolor_cli.image.codec import Codec, ContentSize, NewPage, Reader, StoredPage
from recolor_cli.image.color_profiles import Space, space_of
from recolor_cli.image.decoded_image import Animation
from recolor_cli.image.exif import upright_size
from recolor_cli.image.failures import damage_error, nothing_left
from recolor_cli.image.metadata import Metadata, drop_broken_exif, read_metadata
from recolor_cli.image.unsupported import unsupported_format
from recolor_cli.types import AnyPlanes, ImageSize

_GRAY_MODES = ("1", "L", "LA", "La")
_COLOR_MODES = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr")

Pixels = tuple[AnyPlanes, Space, AnyPlanes | None]
"""Pixels, what their channels are, and opacity if there is any."""


class PillowReader(Reader):
    """A file that Pillow opened."""

    def __init__(self, data: bytes, codec: PillowCodec) -> None:
        super().__init__(codec)
        self.data = data
        with suppress(struct.error, ZeroDivisionError):  # a broken header, which Pillow refuses
            self.data = self.fill_up(data)
        self.damage = "its end is missing" if self.data is not data else ""
        self._holds_dpi_in_exif = codec.holds_dpi_in_exif
        try:
            self.image = Image.open(io.BytesIO(self.data), formats=[codec.format])
        except UnidentifiedImageError as error:
            raise unsupported_format(data) or damage_error("its header") from error

    # Hooks of the formats

    def fill_up(self, data: bytes) -> bytes:
        """Return a file that is cut off with filling in place of its end.

        All others are returned as they are, the same object. It may raise `struct.error` or
        `ZeroDivisionError` for a broken header.
        """
        return data

    @property
    def is_16_bit(self) -> bool:
        """Whether a channel has more than 8 bits."""
        return False

    @property
    def is_lossless(self) -> bool:
        """Whether a still picture is compressed without losses, where formats know both ways."""
        return False

    @property
    def has_hidden_picture(self) -> bool:
        """Whether the first frame is shown only by programs that show no animations."""
        return False

    def canvas_pixels(self) -> int:
        """Return how many pixels the picture, or the canvas of an animation, has."""
        return self.image.width * self.image.height

    def decode_pixels(self) -> Pixels | None:
        """Decode the pixels without Pillow; None leaves it to Pillow.

        Sets `damage` if `keeps_damaged` is set and something is missing.
        """
        return None

    def color_profile(self) -> tuple[bytes, str]:
        """Return the profile that the pixels are to be read by, or nothing, and a warning."""
        return self.image.info.get("icc_profile") or b"", ""

    def exif_block(self) -> bytes:
        """Return the EXIF block as it is in the file, or nothing."""
        block: bytes = self.image.info.get("exif", b"")
        return block

    def orientation(self) -> int:
        """Return the EXIF orientation that is not applied yet, 1..8."""
        found = self.image.getexif().get(exif.ORIENTATION, 1)
        return found if isinstance(found, int) else 1

    def header_orientation(self) -> int:
        """Return what `orientation` will, without decoding a pixel."""
        # A second image, because Pillow reads EXIF once, and may find more behind the pixels.
        with Image.open(io.BytesIO(self.data), formats=[self.codec.format]) as image:
            drop_broken_exif(image)
            found = Image.Image.getexif(image).get(exif.ORIENTATION, 1)
        return found if isinstance(found, int) else 1

    def attachments(self) -> tuple[str, ...]:
        """Return what else the file holds, by the names of `image.attachments`."""
        return ()

    def metadata(self, exif_block: bytes) -> Metadata:
        """Return the metadata; the picture is loaded."""
        return read_metadata(self.image, exif_block, self._holds_dpi_in_exif)

    # Reader

    def content_size(self, all_pages: bool) -> ContentSize:
        """Return the size of the picture, or of all frames of the animation."""
        return ContentSize(self.canvas_pixels(), self.is_16_bit, self.page_count(all_pages))

    def displayed_size(self) -> ImageSize:
        """Return the size of the picture, upright."""
        stored = ImageSize(self.image.height, self.image.width)
        return upright_size(stored, self.header_orientation())

    def page_count(self, all_pages: bool) -> int:
        """Return how many frames there are, or 1."""
        return self._frame_count() if all_pages else 1

    def pages(self, all_pages: bool) -> Iterator[StoredPage]:
        """Decode all frames, or the first."""
        self.was_read = True
        if self.damage and not self.keeps_damaged:
            raise damage_error(self.damage, some_is_left=True)
        if self.page_count(all_pages) > 1:
            yield from self._decode_frames()
        else:
            with self._nothing_left():
                page = self._decode_still()
            yield page

    def close(self) -> None:
        """Free the pixels that Pillow holds."""
        self.image.close()

    def _frame_count(self) -> int:
        return int(getattr(self.image, "n_frames", 1))

    @contextmanager
    def _nothing_left(self) -> Iterator[None]:
        """Say of a file that is cut off that the decoder can give nothing of it, if it raises."""
        try:
            yield
        except (RecolorError, MemoryError):
            raise
        except Exception as error:
            if not self.damage:
                raise
            raise nothing_left(self.damage) from error

    def _decode_still(self) -> StoredPage:
        profile, warning = self.color_profile()
        warnings = [warning] if warning else []
        exif_block = self.exif_block()  # Pillow changes its own copy when it turns a picture
        decoded = self.decode_pixels()
        if decoded is None:
            self.image.load()
        drop_broken_exif(self.image)  # which may stand behind the pixels
        if decoded is None:
            ImageOps.exif_transpose(self.image, in_place=True)
            decoded = pixels_of(self.image, profile)
        pixels, space, alpha = decoded
        if self.damage and pixels.min() == pixels.max():
            raise nothing_left(self.damage)
        held = self._frame_count()
        if self.has_hidden_picture:
            warnings.append(
                "its animation is left out; its picture for other programs is recolored"
            )
        elif held > 1 and self.image.format != "MPO":  # whose further pictures are previews
            warnings.append(f"only the first of its {held} frames is recolored")
        metadata = self.metadata(exif_block)
        if exif_block.removeprefix(exif.PREFIX) and not metadata.exif:
            warnings.append("its EXIF is broken, and left out")
        page = StoredPage(
            pixels, space, alpha, profile, metadata, self.orientation(),
            tuple(warnings), self.is_lossless, damage=self.damage, attachments=self.attachments(),
        )  # fmt: skip
        self.close()  # Pillow's copy of the pixels would stay while the result is made
        return page

    def _decode_frames(self) -> Iterator[StoredPage]:
        profile, warning = self.color_profile()
        exif_block = self.exif_block()
        animation = Animation(self._frame_count(), self.image.info.get("loop"))
        metadata = None
        frames = ImageSequence.Iterator(self.image)
        while True:
            is_first = metadata is None
            try:
                with self._nothing_left():
                    frame = next(frames)
                    shown = frame.convert("RGBA")  # some know the duration after decoding only
                    drop_broken_exif(shown)
            except StopIteration:
                return
            except InputError:
                if is_first:
                    raise
                return  # the frames before are left
            milliseconds = float(frame.info.get("duration", 0))
            metadata = metadata or self.metadata(exif_block)
            pixels, space, alpha = pixels_of(ImageOps.exif_transpose(shown), profile)
            yield StoredPage(
                pixels, space, alpha, profile, metadata,
                warnings=(warning,) if warning else (),
                animation=animation, milliseconds=milliseconds,
                is_hidden=self.has_hidden_picture and is_first,
                damage=self.damage if is_first else "",  # said once
            )  # fmt: skip


class PillowCodec(Codec):
    """A format that Pillow reads and writes."""

    reader: ClassVar[type[PillowReader]] = PillowReader
    holds_dpi_in_exif: ClassVar[bool] = False
    """Whether the resolution has no other place."""

    def open(self, data: bytes) -> PillowReader:
        """Parse the header of a file with Pillow."""
        return self.reader(data, self)

    def writer(self, file: BinaryIO, pages: int, quality: int) -> _CollectingWriter:
        """Begin to write a file, which is written when all frames are there."""
        return _CollectingWriter(self, file, quality)

    def encode(self, frames: list[NewPage], quality: int) -> bytes:
        """Encode a picture, or all frames of an animation."""
        first = frames[0]
        animation = first.source.animation if self.holds_animations else None
        if animation is None and first.space is Space.RGB:
            data = self.encode_levels(first, quality)
            if data is not None:
                return data
        options = self.metadata_options(first.metadata) | self.quality_options(first, quality)
        if animation:
            options |= self.animation_options(frames, animation)
        buffer = io.BytesIO()
        _as_image(first).save(buffer, self.format.value, **options)
        return buffer.getvalue()

    # Hooks of the formats

    def encode_levels(self, page: NewPage, quality: int) -> bytes | None:
        """Encode RGB without Pillow; None leaves it to Pillow."""
        return None

    def quality_options(self, page: NewPage, quality: int) -> dict[str, Any]:
        """Return the arguments of Pillow's ``save`` that say how pixels are compressed."""
        return {}

    def metadata_options(self, metadata: Metadata) -> dict[str, Any]:
        """Return the arguments of Pillow's ``save`` that carry the metadata."""
        exif_block = metadata.exif
        if self.holds_dpi_in_exif and metadata.dpi:
            exif_block = exif.with_resolution(exif_block, metadata.dpi)
        options = {
            "exif": exif_block,
            "icc_profile": metadata.icc_profile,
            "dpi": metadata.dpi,
            "xmp": metadata.xmp,
        }
        return {name: value for name, value in options.items() if value}

    def animation_options(self, frames: list[NewPage], animation: Animation) -> dict[str, Any]:
        """Return the arguments of Pillow's ``save`` for the frames behind the first."""
        options: dict[str, Any] = {
            "save_all": True,
            "append_images": [_as_image(frame) for frame in frames[1:]],
            "duration": [round(frame.source.milliseconds) for frame in frames],
        }
        if animation.loops is not None:
            options["loop"] = animation.loops
        return options


class _CollectingWriter:
    """Keeps the frames of an animation, or the first page, until all are there."""

    def __init__(self, codec: PillowCodec, file: BinaryIO, quality: int) -> None:
        self._codec = codec
        self._file = file
        self._quality = quality
        self._frames: list[NewPage] = []

    def add(self, page: NewPage) -> None:
        """Keep a page."""
        if not self._frames or page.source.animation:
            self._frames.append(page)

    def finish(self) -> None:
        """Write the file."""
        self._file.write(self._codec.encode(self._frames, self._quality))


def pixels_of(image: Image.Image, profile: bytes) -> Pixels:
    """Return the pixels of a loaded picture of at most 8 bits a channel.

    Gray is expanded unless the profile is one of gray.

    Raises
    ------
    InputError
        If Pillow holds them in a mode that cannot be converted.
    """
    if image.mode == "CMYK":
        space = Space.CMYK
    elif image.mode in _GRAY_MODES:
        space = Space.GRAY if space_of(profile) is Space.GRAY else Space.RGB
    elif image.mode in _COLOR_MODES:
        space = Space.RGB
    else:
        raise InputError(
            f"its pixels are of the kind {image.mode}, which cannot be read",
            "convert it first: magick FILE -depth 8 -colorspace sRGB out.png",
        )
    alpha = _channels(image, "RGBA", 3) if image.has_transparency_data else None
    modes = {Space.GRAY: "L", Space.CMYK: "CMYK", Space.RGB: "RGB"}
    return _channels(image, modes[space]), space, alpha


def split_alpha(levels: AnyPlanes) -> Pixels:
    """Split gray or RGB from opacity, the second or fourth channel."""
    if levels.ndim == 2:
        return levels, Space.GRAY, None
    if levels.shape[2] == 3:
        return levels, Space.RGB, None
    if levels.shape[2] == 2:
        return levels[..., 0], Space.GRAY, levels[..., 1]
    return levels[..., :-1], Space.RGB, levels[..., -1]


def _channels(image: Image.Image, mode: str, channel: int | None = None) -> NDArray[np.uint8]:
    """Return the pixels in a mode, or one channel of it. Converts by strips to save memory."""

    def convert(rows: slice) -> AnyPlanes:
        strip = image.crop((0, rows.start, image.width, rows.stop))
        levels = np.asarray(strip if image.mode == mode else strip.convert(mode))
        return levels if channel is None else levels[..., channel]

    bands = Image.getmodebands(mode) if channel is None else 1
    shape = (image.height, image.width, bands) if bands > 1 else (image.height, image.width)
    return map_row_strips(convert, shape, np.dtype(np.uint8))


def _as_image(page: NewPage) -> Image.Image:
    mode = "CMYK" if page.space is Space.CMYK else None
    return Image.fromarray(page.pixels, mode)
