"""TIFF files: all pages, 8 and 16 bits a channel, with all that stands in their directories.

tifffile finds the pages, reads CIELAB and what has more than 8 bits, and writes all; Pillow, with
libtiff behind it, reads the others in their many kinds. Neither alone would do: Pillow knows no
16-bit color and compresses no picture that has an EXIF directory, tifffile writes no such directory
(it is put behind the pages here) and reads fewer of the old kinds of 8 bits and below.
"""

from __future__ import annotations

import io
import logging
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from recolor_cli.errors import InputError
from recolor_cli.image import metadata as metadata_room
from recolor_cli.image.codecs import map_row_strips, scaled
from recolor_cli.image.color_profiles import Space, lab_to_srgb
from recolor_cli.image.exif import (
    ORIENTATION,
    RESOLUTION_UNIT,
    X_RESOLUTION,
    Y_RESOLUTION,
    Directory,
)
from recolor_cli.image.formats import raw_error
from recolor_cli.image.metadata import Metadata
from recolor_cli.types import AnyPlanes, ImageSize

if TYPE_CHECKING:
    import tifffile  # which takes 20 ms to load: only runs with a TIFF among the pictures wait

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_REDUCED, _MASK = 1, 4  # kinds of pages that show another one
_DNG_VERSION, _CFA, _LINEAR_RAW = 50706, 32803, 34892
_SEPARATED, _WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 5, 0, 1, 2
_CIELAB, _ICCLAB, _WHITE_POINT = 8, 9, 318
_PREMULTIPLIED, _ALPHA = 1, 2
_PLACEHOLDER = 1  # less than a tag that tifffile does not write: the entry that will become it
_FLOAT_SLACK = 0.5  # how far floating-point levels may leave 0..1 and are still meant so
_CLASSIC_LIMIT = 2**32 - 2**25  # bytes that 32-bit offsets reach, less some for the directories


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is a picture of its own.

    Parameters
    ----------
    index : int
        Among all pages of the file.
    size : ImageSize
        As stored, px.
    declared_pixels : int
        What reading it may take: more than its size if a tile is larger or there are many channels.
    bits : int
        Of a channel.
    is_lab : bool
        Whether its channels are CIELAB.
    is_float : bool
        Whether its levels are floating-point numbers.
    is_plain : bool
        Whether it is sRGB of 8 bits and no more: tifffile reads that with fewer copies than Pillow.
    orientation : int
        1..8, as EXIF numbers them.
    metadata : Metadata
    icc_profile : bytes
    """

    index: int
    size: ImageSize
    declared_pixels: int
    bits: int
    is_lab: bool
    is_float: bool
    is_plain: bool
    orientation: int
    metadata: Metadata
    icc_profile: bytes


@contextmanager
def opened(data: bytes) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF file in memory."""
    import tifffile

    # What it repairs or doubts in a file is not ours to print; what it cannot read, it raises.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        yield file


def pages(file: tifffile.TiffFile, data: bytes) -> list[Page]:
    """Return the pages that are pictures, without thumbnails and masks.

    Raises
    ------
    InputError
        If it is a camera's raw picture.
    """
    from tifffile import TiffPage

    found = []
    order = file.byteorder
    for index, page in enumerate(file.pages):
        if not isinstance(page, TiffPage):
            raise ValueError("its directories are broken")
        inner = [page, *(sub for sub in page.pages or () if isinstance(sub, TiffPage))]
        if _DNG_VERSION in page.tags or any(
            sub.photometric in (_CFA, _LINEAR_RAW) for sub in inner
        ):
            raise raw_error()
        if page.subfiletype & (_REDUCED | _MASK):
            continue
        directory = Directory.of_tiff(data, page.offset, order, file.is_bigtiff)
        profile = directory.entries.get(metadata_room.ICC_TAG)
        found.append(
            Page(
                index,
                ImageSize(page.imagelength, page.imagewidth),
                _declared_pixels(page),
                int(np.max(page.bitspersample)),
                page.photometric in (_CIELAB, _ICCLAB),
                page.dtype is not None and page.dtype.kind == "f",
                _is_plain(page),
                directory.number(ORIENTATION) or 1,
                metadata_room.of_directory(directory),
                profile.data if profile else b"",
            )
        )
    return found


def _is_plain(page: tifffile.TiffPage) -> bool:
    layout = (page.photometric, page.samplesperpixel, page.bitspersample, page.planarconfig)
    return layout == (_RGB, 3, 8, 1) and page.dtype == np.dtype(np.uint8)


def _declared_pixels(page: tifffile.TiffPage) -> int:
    """Return the pixels of a page or, if that is more, of a tile; 4 channels make one."""
    size = page.imagelength * page.imagewidth
    tile = math.prod(int(side) for side in page.tile or (0,))
    depth = max(int(page.imagedepth), 1)
    return max(size, tile) * depth * math.ceil(max(page.samplesperpixel, 1) / 4)


def read_other(
    file: tifffile.TiffFile, data: bytes, page: Page
) -> tuple[AnyPlanes, Space, AnyPlanes | None]:
    """Return pixels that Pillow cannot read, what they are, and opacity if there is any.

    These are pixels of 9 to 16 bits, which become 0..65535; floating-point ones, of which 0..1
    becomes that; CIELAB, which becomes sRGB and keeps its 8 or 16 bits; and plain pages. Gray ones
    may lie in `data` itself and must not be written to.

    Raises
    ------
    InputError
        If they are of a kind that cannot be read.
    Exception
        Whatever a broken file leads the decoder to.
    """
    source = cast("tifffile.TiffPage", file.pages[page.index])
    kinds = {
        _WHITE_IS_ZERO: (Space.GRAY, 1),
        _BLACK_IS_ZERO: (Space.GRAY, 1),
        _RGB: (Space.RGB, 3),
        _SEPARATED: (Space.CMYK, 4),
        _CIELAB: (Space.RGB, 3),
        _ICCLAB: (Space.RGB, 3),
    }
    kind = kinds.get(int(source.photometric))
    # tifffile takes the sign of CIELAB's a and b for that of L, too.
    whole: tuple[Any, ...] = (np.uint8,) if page.is_plain else (np.uint16,)
    if page.is_lab:
        whole = (np.uint8, np.int8, np.uint16, np.int16)
    is_known = source.dtype in whole or (page.is_float and not page.is_lab)
    if kind is None or source.dtype is None or not is_known or source.samplesperpixel < kind[1]:
        raise InputError(
            f"its pixels are {source.dtype} of the kind "
            f"{getattr(source.photometric, 'name', source.photometric)}, which cannot be read",
            "convert it first: magick FILE -depth 16 -colorspace sRGB out.tif",
        )
    space, channels = kind
    if (
        channels == 1
        and source.is_contiguous
        and source.dtype.newbyteorder(file.byteorder).isnative
    ):
        count, offset = page.size.pixels * source.samplesperpixel, source.dataoffsets[0]
        levels = np.frombuffer(data, source.dtype, count, offset)
    else:
        levels = np.asarray(source.asarray(maxworkers=1))
    if source.planarconfig == 2 and levels.ndim == 3:
        levels = np.moveaxis(levels, 0, -1)
    levels = levels.reshape(page.size.height, page.size.width, -1)
    if page.is_float:
        levels = _of_floats(levels)
    elif page.is_lab:
        levels = levels.view(np.uint8 if levels.itemsize == 1 else np.uint16)
    elif not page.is_plain:
        levels = scaled(levels, page.bits)
    pixels, alpha = levels[..., :channels], None
    extra = int(source.extrasamples[0]) if source.extrasamples else 0
    if extra in (_PREMULTIPLIED, _ALPHA) and levels.shape[-1] > channels:
        alpha = levels[..., channels]
    if source.photometric == _WHITE_IS_ZERO:
        pixels = 65535 - pixels
    if page.is_lab:
        pixels = _of_lab(pixels, int(source.photometric), _is_d65(source))
    elif alpha is not None and extra == _PREMULTIPLIED:
        opaque = np.maximum(alpha, 1)[..., None].astype(np.float32) / 65535
        pixels = np.rint(np.minimum(pixels / opaque, 65535)).astype(np.uint16)
    return (pixels[..., 0] if channels == 1 else pixels), space, alpha


def _of_floats(levels: NDArray[Any]) -> NDArray[np.uint16]:
    """Bring floating-point levels, 0..1, to 0..65535."""
    least, most = float(levels.min()), float(levels.max())
    if not (least >= -_FLOAT_SLACK and most <= 1 + _FLOAT_SLACK):  # also if one is no number
        raise InputError(
            f"its floating-point levels are {least:g} to {most:g}, where 0 is black and 1 is white",
            "bring them there first: magick FILE -auto-level -depth 16 out.tif",
        )
    return map_row_strips(
        lambda rows: np.rint(np.clip(levels[rows], 0, 1) * np.float64(65535)),
        levels.shape,
        np.dtype(np.uint16),
    )


def _is_d65(page: tifffile.TiffPage) -> bool:
    """Tell whether a page's white is nearer to D65, x = 0.3127, than to D50, x = 0.3457."""
    white = page.tags.get(_WHITE_POINT)
    return white is not None and white.value[0] < 0.33 * white.value[1]


def _of_lab(levels: AnyPlanes, photometric: int, is_d65: bool) -> AnyPlanes:
    """Convert CIELAB, as it lies in a file, to sRGB of as many bits.

    TIFF 6.0, section 23, and technical note 4 (Adobe 1995) for 16 bits: L* has all levels, and a*
    and b* are signed, of 16 bits in 1/256. In ICC's way (ICC.1:2001-04, annex A) a* and b* begin at
    -128, and of 16 bits 65280 is an L* of 100.
    """
    top = int(np.iinfo(levels.dtype).max)
    steps = 1.0 if levels.itemsize == 1 else 256.0
    white = 65280.0 if photometric == _ICCLAB and levels.itemsize == 2 else float(top)
    signed = np.int8 if levels.itemsize == 1 else np.int16

    def converted(rows: slice) -> AnyPlanes:
        lab = np.empty(levels[rows].shape, np.float32)
        lab[..., 0] = levels[rows, :, 0] * np.float32(100 / white)
        ab = np.ascontiguousarray(levels[rows, :, 1:])
        if photometric == _ICCLAB:
            lab[..., 1:] = ab.astype(np.float32) / steps - 128
        else:
            lab[..., 1:] = ab.view(signed).astype(np.float32) / steps
        return cast(AnyPlanes, lab_to_srgb(lab, top, is_d65))

    return map_row_strips(converted, levels.shape, levels.dtype)


@dataclass(frozen=True, slots=True)
class NewPage:
    """A page to be written: pixels of shape (H, W, C), of which the last may be opacity."""

    pixels: AnyPlanes
    space: Space
    has_alpha: bool
    metadata: Metadata


class Writer:
    """Writes pages, one after the other, as a TIFF file, deflated.

    Parameters
    ----------
    count : int
        How many there will be.
    file : BinaryIO
        Empty, and open for reading, too.
    """

    def __init__(self, count: int, file: BinaryIO) -> None:
        self._count = count
        self._buffer = file
        self._writer: tifffile.TiffWriter | None = None
        self._children: list[dict[int, Directory]] = []

    def add(self, page: NewPage) -> None:
        """Write the next page."""
        import tifffile

        block = page.metadata.exif
        directory = Directory.of_block(block) if block else Directory("<")
        if self._writer is None:  # all numbers of a file have the byte order of the first page's
            big = page.pixels.nbytes * self._count > _CLASSIC_LIMIT
            self._writer = tifffile.TiffWriter(
                self._buffer, bigtiff=big, byteorder=cast(Any, directory.order)
            )
        _write(self._writer, page, directory)
        self._children.append(directory.children)

    def finish(self) -> None:
        """Write what stands behind the pages."""
        assert self._writer is not None
        self._writer.close()
        _put_children(self._buffer, self._children)


def _write(writer: tifffile.TiffWriter, page: NewPage, directory: Directory) -> None:
    entries = dict(directory.entries)
    entries.pop(ORIENTATION, None)
    found = page.metadata
    x, y = directory.rational(X_RESOLUTION), directory.rational(Y_RESOLUTION)
    unit = directory.number(RESOLUTION_UNIT) or 2
    if not (x and y and x[1] and y[1]):
        dpi = found.dpi or (1, 1)
        x, y = (round(dpi[0] * 1000), 1000), (round(dpi[1] * 1000), 1000)
        unit = 2 if found.dpi else 1
    for tag in (X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT):
        entries.pop(tag, None)
    extra: list[tuple[int, int, int, object, bool]] = [
        (tag, entry.kind, entry.count, entry.data, True) for tag, entry in entries.items()
    ]
    extra += [(tag - _PLACEHOLDER, 4, 1, 0, True) for tag in directory.children]
    for tag, value in (
        (metadata_room.XMP_TAG, found.xmp),
        (metadata_room.PHOTOSHOP_TAG, found.photoshop),
    ):
        if value:
            extra.append((tag, 1, len(value), value, True))
    writer.write(
        page.pixels,
        photometric="separated" if page.space is Space.CMYK else "rgb",
        planarconfig="contig",
        extrasamples=["unassalpha"] if page.has_alpha else None,
        compression="adobe_deflate",
        predictor=True,
        rowsperstrip=max(1, (1 << 18) // (page.pixels.nbytes // len(page.pixels))),
        resolution=(x, y),
        resolutionunit=unit,
        iccprofile=found.icc_profile or None,
        extratags=extra,
        metadata=None,
        software=False,
        maxworkers=1,
    )


def _put_children(buffer: BinaryIO, children: list[dict[int, Directory]]) -> None:
    """Write the directories that pages point to behind them, and their places into the pages."""
    import tifffile

    if not any(children):
        return
    buffer.seek(0)
    with tifffile.TiffFile(buffer) as file:
        places = [
            (cast("tifffile.TiffPage", page).tags[tag - _PLACEHOLDER], tag, directory)
            for page, found in zip(file.pages, children, strict=True)
            for tag, directory in found.items()
        ]
        order = file.byteorder
        for place, tag, directory in places:
            at = buffer.seek(0, io.SEEK_END)
            at += buffer.write(b"\0" * (at % 2))
            buffer.write(directory.to_bytes(at, file.is_bigtiff))
            buffer.seek(place.offset)
            buffer.write(struct.pack(order + "H", tag))
            buffer.seek(place.valueoffset)
            buffer.write(struct.pack(order + "I", at))
