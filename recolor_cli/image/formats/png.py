"""PNG: 16 bits a channel, transparency, animations, texts; its color may be told in numbers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile
from typing import Any, cast

import imagecodecs
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo, PngStream, iTXt

from recolor_cli.image.codec import NewPage, StoredPage
from recolor_cli.image.decoded_image import Animation
from recolor_cli.image.exif import PREFIX
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.formats.png_chunks import (
    check_chunks,
    walk_chunks,
    with_pixels_that_are_there,
)
from recolor_cli.image.formats.png_color import profile_of_chunks
from recolor_cli.image.metadata import Metadata, orientation_of
from recolor_cli.image.pillow_codec import PillowCodec, PillowReader, Pixels, split_alpha

_COMPRESSION = 4  # of 0..9
_HEADER_END = 33  # 8 bytes of the signature, 25 of the header chunk
_XMP_KEY = "XML:com.adobe.xmp"
_METADATA_KEYS = (
    _XMP_KEY,
    "Raw profile type exif",
    "Raw profile type APP1",
    "Raw profile type xmp",
)
_LONG_TEXT = 1000  # characters from which a text is compressed


class _PngReader(PillowReader):
    def __init__(self, data: bytes, codec: PillowCodec) -> None:
        self._checked = check_chunks(data)
        self._open(self._checked.data, codec)

    def _open(self, data: bytes, codec: PillowCodec) -> None:
        super().__init__(data, codec)
        self.damage = self._checked.damage
        self._match_transparent_gray()

    @property
    def is_16_bit(self) -> bool:
        return self.data[24] == 16

    @property
    def has_hidden_picture(self) -> bool:
        return bool(getattr(self.image, "default_image", False))

    def pages(self, all_pages: bool) -> Iterator[StoredPage]:
        if self.damage and self.keeps_damaged:
            self._open(with_pixels_that_are_there(self.data), cast(PillowCodec, self.codec))
        names = ", ".join(self._checked.left_out)
        for page in super().pages(all_pages):
            warning = (f"what it holds as {names} is broken or too large, and left out",)
            yield replace(page, warnings=page.warnings + warning) if names else page

    def decode_pixels(self) -> Pixels | None:
        if not self.is_16_bit:
            return None
        levels = np.asarray(imagecodecs.png_decode(self.data)).astype(np.uint16, copy=False)
        self.image.load()  # texts may stand behind the pixels
        return split_alpha(levels)

    def _match_transparent_gray(self) -> None:
        """Scale the gray that is transparent as Pillow scales gray of fewer than 8 bits."""
        bits, color = self.data[24], self.data[25]
        level = self.image.info.get("transparency")
        if color == 0 and bits in (2, 4) and isinstance(level, int):
            self.image.info["transparency"] = level * 255 // ((1 << bits) - 1)

    def color_profile(self) -> tuple[bytes, str]:
        embedded, _ = super().color_profile()
        return profile_of_chunks(chunks_before_pixels(self.data), embedded)

    def header_orientation(self) -> int:
        for chunk in walk_chunks(self.data):
            if chunk.name == b"eXIf":  # it may stand behind the pixels
                return orientation_of(PREFIX + self.data[chunk.start + 8 : chunk.end - 4], b"")
        return super().header_orientation()

    def metadata(self, exif_block: bytes) -> Metadata:
        # Pillow counts their bytes first, and refuses too many.
        texts = _read_texts(self.data) if getattr(self.image, "text", {}) else ()
        own = tuple(item for item in texts if not item[0].startswith(_METADATA_KEYS))
        return replace(super().metadata(exif_block), texts=own)


class _Png(PillowCodec):
    format = ImageFormat.PNG
    holds_metadata = frozenset({"exif", "xmp", "texts"})
    reader = _PngReader
    holds_16_bits = True
    holds_animations = True
    holds_hidden_pictures = True

    def encode_levels(self, page: NewPage, quality: int) -> bytes:
        pixels = np.ascontiguousarray(page.pixels)
        data = bytes(imagecodecs.png_encode(pixels, level=_COMPRESSION))
        return data[:_HEADER_END] + self._metadata_chunks(page.metadata) + data[_HEADER_END:]

    def quality_options(self, page: NewPage, quality: int) -> dict[str, Any]:
        return {"compress_level": _COMPRESSION}

    def metadata_options(self, metadata: Metadata) -> dict[str, Any]:
        options = super().metadata_options(metadata)
        if metadata.xmp or metadata.texts:
            options["pnginfo"] = _texts(metadata)
        return options

    def animation_options(self, frames: list[NewPage], animation: Animation) -> dict[str, Any]:
        options = super().animation_options(frames, animation)
        if frames[0].source.is_hidden:
            options |= {"default_image": True, "duration": options["duration"][1:]}
        return options

    def _metadata_chunks(self, metadata: Metadata) -> bytes:
        """Return the chunks that Pillow writes for the metadata."""
        buffer = io.BytesIO()
        Image.new("L", (1, 1)).save(buffer, "PNG", **self.metadata_options(metadata))
        data = buffer.getvalue()
        return b"".join(
            data[chunk.start : chunk.end]
            for chunk in walk_chunks(data)
            if chunk.name not in (b"IHDR", b"IDAT", b"IEND")
        )


def chunks_before_pixels(data: bytes) -> dict[bytes, bytes]:
    """Return the contents of the chunks in front of the pixels, by name."""
    chunks = takewhile(lambda chunk: chunk.name != b"IDAT", walk_chunks(data))
    return {chunk.name: data[chunk.start + 8 : chunk.end - 4] for chunk in chunks}


def _read_texts(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield all texts in order. Pillow keeps only the last of several with one keyword."""
    for chunk in walk_chunks(data):
        if chunk.name in (b"tEXt", b"zTXt", b"iTXt"):
            content = data[chunk.start + 8 : chunk.end - 4]
            stream = PngStream(io.BytesIO(content))
            stream.call(chunk.name, 0, len(content))
            yield from stream.im_text.items()


def _texts(metadata: Metadata) -> PngInfo:
    texts = PngInfo()
    for key, value in metadata.texts:
        if isinstance(value, iTXt):
            texts.add_itxt(key, value, value.lang or "", value.tkey or "", len(value) > _LONG_TEXT)
        else:
            texts.add_text(key, value, len(value) > _LONG_TEXT)
    if metadata.xmp:
        texts.add_itxt(_XMP_KEY, metadata.xmp.decode("utf-8", "replace"))
    return texts


CODEC = _Png()
