"""BMP: 8 bits a channel, transparency, resolution."""

from __future__ import annotations

from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.pillow_codec import PillowCodec


class _Bmp(PillowCodec):
    format = ImageFormat.BMP
    holds_metadata = frozenset[str]()


CODEC = _Bmp()
