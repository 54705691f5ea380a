"""Open files and read their headers, without decoding a pixel."""

from __future__ import annotations

from dataclasses import dataclass, field

from recolor_cli.errors import InputError
from recolor_cli.image.codec import Codec, ContentSize, Reader, codec_of
from recolor_cli.image.failures import decoder_errors
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.unsupported import not_a_picture, unsupported_format
from recolor_cli.system.texts import counted
from recolor_cli.types import ImageSize

# Bytes a pixel at the peak of decoding, recoloring and encoding, measured at 16 megapixels of RGB
# with transparency and 16 bits (21), and rounded up. Codecs have a figure of their own for 8 bits.
_BYTES_PER_PIXEL_16_BIT = 26
_BYTES_PER_PIXEL_OF_A_FRAME = 8  # the results of an animation are encoded together


@dataclass(frozen=True, slots=True)
class Header:
    """The facts that the header of a file declares.

    Parameters
    ----------
    pixels : int
        Of all frames of an animation, or of the largest page.
    memory, source_memory : int
        Bytes that decoding, recoloring and encoding it take, in the target's format and in its own.
    reader : Reader
        The open file, which `decode_pages` goes on with.
    """

    pixels: int
    memory: int
    source_memory: int
    reader: Reader = field(repr=False, compare=False)

    def check_pixels(self, most: int) -> None:
        """Raise InputError if it declares more pixels."""
        if self.pixels > most:
            raise InputError(
                f"it declares {_format_pixels(self.pixels)}, "
                f"more than the {_format_pixels(most)} that --max-pixels allows",
                "if you trust the file, raise --max-pixels",
            )

    def displayed_size(self) -> ImageSize:
        """Return the size of the first page as it is displayed, upright; InputError if damaged."""
        with decoder_errors():
            return self.reader.displayed_size()


def probe(data: bytes, target: ImageFormat | None = None) -> Header:
    """Read the header of a file, without decoding a pixel.

    Parameters
    ----------
    data : bytes
        An encoded file.
    target : ImageFormat or None
        The format that it will be encoded as; None is its own.

    Raises
    ------
    InputError
        If it is empty, of no format that is read, or damaged.
    """
    with decoder_errors():
        reader = open_file(data)
        encoder = codec_of(target) if target else reader.codec
        content = reader.content_size(holds_all_pages(reader.codec, encoder))
    pixels = content.frames * content.pixels
    memory, source_memory = (
        _needed_memory(content, max(reader.codec.bytes_per_pixel, codec.bytes_per_pixel))
        for codec in (encoder, reader.codec)
    )
    return Header(pixels, memory, source_memory, reader)


def _format_pixels(count: int) -> str:
    return f"{count / 1e6:,.0f} megapixels" if count >= 1e7 else counted(count, "pixel")


def _needed_memory(content: ContentSize, bytes_per_pixel: int) -> int:
    """Return bytes; the largest page counts, or all frames, whose results are encoded together."""
    if content.is_16_bit:
        bytes_per_pixel = max(bytes_per_pixel, _BYTES_PER_PIXEL_16_BIT)
    memory = content.pixels * (bytes_per_pixel + content.extra_bytes_per_pixel)
    if content.frames > 1:
        memory += content.frames * content.pixels * _BYTES_PER_PIXEL_OF_A_FRAME
    return memory


def open_file(data: bytes) -> Reader:
    """Parse a file's header by the codec that its first bytes name; raises whatever it raises."""
    if not data:
        raise InputError("the file is empty", "copy or scan it again")
    image_format = ImageFormat.of_data(data)
    if image_format is None:
        raise unsupported_format(data) or not_a_picture()
    return codec_of(image_format).open(data)


def holds_all_pages(source: Codec, target: Codec) -> bool:
    """Return whether all pages, or frames, of one format have a place in the other."""
    return (source.holds_pages and target.holds_pages) or (
        source.holds_animations and target.holds_animations
    )
