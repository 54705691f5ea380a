"""The interface of a file format: a codec opens files and writes them; a reader is an open file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import BinaryIO, ClassVar, Protocol, cast

from recolor_cli.image.color_profiles import Space
from recolor_cli.image.decoded_image import Animation, DecodedImage
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.metadata import METADATA_NAMES, Metadata
from recolor_cli.system.texts import listed
from recolor_cli.types import AnyPlanes, ImageSize

BYTES_PER_PIXEL_SLOW_CODECS = 52
"""Bytes a pixel at the peak of WebP (measured: 50), JPEG 2000 (42) and AVIF (not measured)."""


@dataclass(frozen=True, slots=True)
class ContentSize:
    """The size of a file's contents, by its header.

    Parameters
    ----------
    pixels : int
        Of the largest page, or of an animation's canvas.
    is_16_bit : bool
        Whether a channel has more than 8 bits.
    frames : int
        How many frames of an animation are read.
    extra_bytes_per_pixel : int
        Memory that decoding takes besides.
    """

    pixels: int
    is_16_bit: bool = False
    frames: int = 1
    extra_bytes_per_pixel: int = 0


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A page or frame as a file stores it: before conversion to sRGB, possibly not upright.

    Parameters
    ----------
    pixels : uint8 or uint16 array, shape (H, W) for gray, else (H, W, C)
    space : Space
        What the channels are.
    alpha : array of the same dtype, shape (H, W), or None
        Opacity.
    profile : bytes
        The color profile that the pixels are to be read by, or nothing.
    metadata : Metadata
    orientation : int
        EXIF orientation that is not applied yet, 1..8.
    warnings, lossless, pages, animation, milliseconds, damage, is_hidden
        As in `DecodedImage`.
    attachments : tuple of str
        What else the file holds, by the names of `image.attachments`.
    """

    pixels: AnyPlanes
    space: Space
    alpha: AnyPlanes | None = None
    profile: bytes = b""
    metadata: Metadata = field(default_factory=Metadata)
    orientation: int = 1
    warnings: tuple[str, ...] = ()
    lossless: bool = False
    pages: int = 1
    animation: Animation | None = None
    milliseconds: float = 0.0
    damage: str = ""
    is_hidden: bool = False
    attachments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewPage:
    """A page or frame to be written.

    Parameters
    ----------
    pixels : uint8 or uint16 array, shape (H, W, C)
        If there is a channel more than the space has, it is opacity.
    space : Space
        RGB or CMYK.
    metadata : Metadata
    source : DecodedImage
    """

    pixels: AnyPlanes
    space: Space
    metadata: Metadata
    source: DecodedImage


class Reader(ABC):
    """A file whose header was parsed. Its pages can be read once."""

    was_read = False
    keeps_damaged = False
    """Whether a damaged picture is decoded as far as possible, instead of refused."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec

    @abstractmethod
    def content_size(self, all_pages: bool) -> ContentSize:
        """Return what the header declares, of all pages or frames or of the first."""

    @abstractmethod
    def displayed_size(self) -> ImageSize:
        """Return the size of the first page, by the header, as it is displayed: upright."""

    @abstractmethod
    def page_count(self, all_pages: bool) -> int:
        """Return how many pages or frames `pages` gives."""

    @abstractmethod
    def pages(self, all_pages: bool) -> Iterator[StoredPage]:
        """Decode all pages or frames, or the first, which then has a warning if there are more.

        Behind a page that raises, the iterator goes on with the next one, if that can be read.
        """

    @abstractmethod
    def close(self) -> None:
        """Free the memory that the file takes."""


class PageWriter(Protocol):
    """Writes the pages of one file."""

    def add(self, page: NewPage) -> None:
        """Write the next page, or keep it until `finish`."""
        ...

    def finish(self) -> None:
        """Write what is left when all pages were added."""
        ...


class Codec(ABC):
    """A file format: what it holds, and how it is read and written."""

    format: ClassVar[ImageFormat]
    holds_transparency: ClassVar[bool] = True
    holds_16_bits: ClassVar[bool] = False
    holds_cmyk: ClassVar[bool] = False
    holds_animations: ClassVar[bool] = False
    holds_pages: ClassVar[bool] = False
    holds_hidden_pictures: ClassVar[bool] = False
    """Whether an animation may have a picture for programs that show no animations."""
    page_noun: ClassVar[str] = "frame"
    max_side: ClassVar[int | None] = None
    """Pixels that a side has at most, if the format, or its encoder, has such a limit."""
    bytes_per_pixel: ClassVar[int] = 14
    """Memory at the peak of decoding, recoloring and encoding 8 bits a channel. Measured at 16
    megapixels of RGB with transparency (10) and rounded up."""

    holds_metadata: ClassVar[frozenset[str]] = frozenset({"exif", "xmp"})
    """Fields of `Metadata` that have a place, of those that not all formats have."""

    def fit_metadata(self, metadata: Metadata) -> tuple[Metadata, tuple[str, ...]]:
        """Return metadata without what the format does not hold, and warnings that name it."""
        lost = [
            name
            for field_name, name in METADATA_NAMES.items()
            if getattr(metadata, field_name) and field_name not in self.holds_metadata
        ]
        if not lost:
            return metadata, ()
        kept = {name: getattr(metadata, name) for name in self.holds_metadata}
        fitted = Metadata(icc_profile=metadata.icc_profile, dpi=metadata.dpi, **kept)
        verb = "is" if len(lost) == 1 and lost[0] != "texts" else "are"
        return fitted, (
            f"its {listed(lost)} {verb} left out, as {self.format.prose_name} holds none",
        )

    @abstractmethod
    def open(self, data: bytes) -> Reader:
        """Parse the header of a file. A broken one may lead to any exception."""

    @abstractmethod
    def writer(self, file: BinaryIO, pages: int, quality: int) -> PageWriter:
        """Begin to write a file.

        Parameters
        ----------
        file : BinaryIO
            Empty, and open for reading, too.
        pages : int
            How many pages will be added.
        quality : int
            1..100, for lossy formats.
        """


def codec_of(image_format: ImageFormat) -> Codec:
    """Return the reader and writer of a format. It is loaded on first use: imports are slow."""
    module = import_module(f"recolor_cli.image.formats.{image_format.value.lower()}")
    return cast(Codec, module.CODEC)
