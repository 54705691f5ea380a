"""Arrays to and from files without Pillow between: 16 bits a channel, and large pictures.

Pillow reads and writes 16-bit color as 8 bits, and takes a copy of 4 bytes a pixel. imagecodecs
does the codecs here: of a file that is cut off it makes an error, OpenCV half a picture. Its JPEGs
are those of Pillow bit for bit. TIFF is in `recolor_cli.image.tiff`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from recolor_cli.image.formats import ImageFormat
from recolor_cli.types import AnyPlanes

STRIP_PIXELS = 1 << 18  # of a copy that is made piece by piece

_PNM_HEAD = re.compile(
    rb"P([56])(?:\s+|#[^\n]*\n)+(\d{1,9})(?:\s+|#[^\n]*\n)+(\d{1,9})(?:\s+|#[^\n]*\n)+(\d{1,5})\s"
)
_SCAN, _END = b"\xff\xda", b"\xff\xd9"
_TABLES = b"\xff\xdb"  # the first segment of a JPEG that tells about its pixels
_IHDR_END = 33  # 8 of the signature, 25 of the header
_JP2_COMPONENT = re.compile(rb"\xff\x4f\xff\x51.{38}(.)", re.DOTALL)  # SOC, SIZ up to Ssiz


def is_16_bit(data: bytes, image_format: ImageFormat) -> bool:
    """Tell by the header whether a file has more than 8 bits a channel.

    Parameters
    ----------
    data : bytes
        Of a file whose header Pillow could read.
    image_format : ImageFormat
    """
    match image_format:
        case ImageFormat.PNG:
            return data[24] == 16
        case ImageFormat.PPM:
            head = _PNM_HEAD.match(data)
            return head is not None and int(head[4]) > 255
        case ImageFormat.JPEG2000:
            component = _JP2_COMPONENT.search(data)
            return component is not None and (component[1][0] & 0x7F) >= 8  # bits less one
        case _:
            return False


def decode(data: bytes, image_format: ImageFormat) -> NDArray[np.uint16]:
    """Return the pixels, 0..65535, shape (H, W) or (H, W, C).

    Raises
    ------
    Exception
        Whatever a broken file leads the decoder to.
    """
    if image_format is ImageFormat.PPM:
        return _decode_pnm(data)
    if image_format is ImageFormat.PNG:
        return np.asarray(imagecodecs.png_decode(data))
    component = _JP2_COMPONENT.search(data)
    if component is None or component[1][0] & 0x80:
        raise ValueError("its numbers have a sign")
    return scaled(np.asarray(imagecodecs.jpeg2k_decode(data)), (component[1][0] & 0x7F) + 1)


def decode_jpeg(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a JPEG in gray or color, shape (H, W) or (H, W, 3).

    Raises
    ------
    ValueError
        If its end is missing, which the decoder itself would fill with gray.
    Exception
        Whatever a broken file leads the decoder to.
    """
    at = 2
    while at + 4 <= len(data) and data[at : at + 2] != _SCAN:
        at += 1 if data[at + 1] == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4])
    if data.find(_END, at) < 0:  # in a scan this pair of bytes does not occur
        raise ValueError("its end is missing")
    return np.asarray(imagecodecs.jpeg8_decode(data))


def scaled(levels: NDArray[np.uint16], bits: int) -> NDArray[np.uint16]:
    """Stretch levels of so many bits to 0..65535."""
    if bits == 16:
        return levels
    most = (1 << bits) - 1
    return np.rint(levels * np.float64(65535 / most)).astype(np.uint16)


def encode_png(pixels: AnyPlanes, chunks: bytes) -> bytes:
    """Encode pixels of 8 or 16 bits, of which the fourth channel is opacity.

    Parameters
    ----------
    pixels : uint8 or uint16 array, shape (H, W, 3) or (H, W, 4)
    chunks : bytes
        What is to be put behind the header.
    """
    data = bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), level=4))
    return data[:_IHDR_END] + chunks + data[_IHDR_END:]


def encode_jpeg(pixels: NDArray[np.uint8], quality: int, segments: bytes) -> bytes:
    """Encode sRGB.

    Parameters
    ----------
    pixels : uint8 array, shape (H, W, 3)
    quality : int
        1..100; from 90 on color has the full resolution.
    segments : bytes
        What is to be put at the beginning, instead of the encoder's own head.
    """
    subsampling = "444" if quality >= 90 else "420"
    pixels = np.ascontiguousarray(pixels)
    data = bytes(imagecodecs.jpeg8_encode(pixels, level=quality, subsampling=subsampling))
    return data[:2] + segments + data[data.index(_TABLES) :]


def encode_ppm(pixels: NDArray[np.uint16]) -> bytes:
    """Encode sRGB of 16 bits, shape (H, W, 3)."""
    head = f"P6\n{pixels.shape[1]} {pixels.shape[0]}\n65535\n".encode()
    return head + pixels.astype(">u2").tobytes()


def encode_jpeg_2000(pixels: NDArray[np.uint16]) -> bytes:
    """Encode pixels of 16 bits, of which the fourth channel is opacity, without losses."""
    pixels = np.ascontiguousarray(pixels)
    return bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="jp2", reversible=True))


def _decode_pnm(data: bytes) -> NDArray[np.uint16]:
    head = _PNM_HEAD.match(data)
    if head is None:
        raise ValueError("its header is broken")
    channels, width, height, most = (3 if head[1] == b"6" else 1), *map(int, head.groups()[1:])
    size = width * height * channels
    levels = np.frombuffer(data, ">u2", size, head.end()).reshape(height, width, channels)
    if int(levels.max()) > most:
        raise ValueError("a level is above the most that its header declares")
    stretched = np.rint(levels * np.float64(65535 / most)).astype(np.uint16)
    return stretched if channels == 3 else stretched[..., 0]


def map_row_strips(
    make: Callable[[slice], AnyPlanes], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> AnyPlanes:
    """Fill an array with what is made of its rows, some at a time: floats of all would be large."""
    result: AnyPlanes = np.empty(shape, dtype)
    rows = max(1, STRIP_PIXELS // shape[1])
    for start in range(0, shape[0], rows):
        part = slice(start, start + rows)
        result[part] = make(part)
    return result
