"""Decode files to sRGB: pages and frames with all their bits, or one picture of 8 bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recolor_cli.color.row_strips import map_row_strips
from recolor_cli.errors import InputError
from recolor_cli.image.codec import Codec, Reader, StoredPage, codec_of
from recolor_cli.image.decoded_image import DecodedImage
from recolor_cli.image.failures import decoder_errors, faults_of_pages
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.levels import reduce_to_8_bits
from recolor_cli.image.normalize import normalize
from recolor_cli.image.probe import Header, holds_all_pages, open_file, probe


def decode_pages(
    data: bytes,
    target: ImageFormat | None = None,
    header: Header | None = None,
    keep_damaged: bool = False,
) -> Iterator[DecodedImage]:
    """Decode the pages or frames of a file one after the other, with all their bits.

    They are turned upright and converted to sRGB by their profile.

    Parameters
    ----------
    data : bytes
        An encoded file, in any format of `ImageFormat`.
    target : ImageFormat or None
        The format that they will be encoded as; None is the file's own. What it cannot hold is left
        out here, with a warning: further pages and frames, and 16 bits a channel.
    header : Header or None
        The result of `probe`. The file that it opened is used, unless it was read before.
    keep_damaged : bool
        Decode what is left of a damaged picture, with a warning, where its format allows that.

    Raises
    ------
    InputError
        If the file is empty, of no format that is read, or damaged. It names all pages that are.
    """
    if header and not header.reader.was_read:
        reader = header.reader
    else:
        with decoder_errors():
            reader = open_file(data)
    reader.keeps_damaged = keep_damaged
    codec = codec_of(target) if target else reader.codec
    all_pages = holds_all_pages(reader.codec, codec)
    with decoder_errors():
        count = reader.page_count(all_pages)
    pages = reader.pages(all_pages)
    noun = reader.codec.page_noun
    faults: dict[int, InputError] = {}  # by the number of the page
    try:
        for number in range(1, count + 1):
            try:
                picture = _next_picture(pages, reader, codec)
            except InputError as error:
                faults[number] = error
                continue
            if picture is None:
                break
            if faults:
                continue  # only to find the other faults
            if picture.damage:
                is_one = count == 1 or picture.animation  # whose damage is that of the file
                name = "the picture" if is_one else f"{noun} {number} of {count}"
                warning = f"{name} is damaged: {picture.damage}; what is left of it is recolored"
                picture = replace(picture, warnings=(warning, *picture.warnings))
            if not picture.is_hidden or codec.holds_hidden_pictures:
                yield picture
            del picture  # so that only one page is in memory
        if faults:
            raise faults_of_pages(faults, count, noun)
    finally:
        reader.close()


def decode(data: bytes, keep_damaged: bool = False, max_pixels: int | None = None) -> DecodedImage:
    """Decode a picture of 8 bits a channel, to look at or to learn from.

    Parameters
    ----------
    data : bytes
        As for `decode_pages`. Of several pages or frames it is the first; 16 bits are reduced.
    keep_damaged : bool
        As for `decode_pages`.
    max_pixels : int or None
        That it may declare.

    Raises
    ------
    InputError
        As `decode_pages`, and if it declares more pixels.
    """
    header = None
    if max_pixels is not None:
        header = probe(data)
        header.check_pixels(max_pixels)
    return to_8_bits(next(decode_pages(data, header=header, keep_damaged=keep_damaged)))


def to_8_bits(picture: DecodedImage) -> DecodedImage:
    """Return a picture with its 16 bits a channel reduced to 8, or as it is."""
    if picture.rgb.dtype == np.uint8:
        return picture
    alpha = None if picture.alpha is None else reduce_to_8_bits(picture.alpha)
    return replace(picture, rgb=reduce_to_8_bits(picture.rgb), alpha=alpha)


def decode_mask(data: bytes, max_pixels: int | None = None) -> NDArray[np.uint8]:
    """Decode a picture that marks where to recolor.

    Parameters
    ----------
    data, max_pixels
        As for `decode`.

    Returns
    -------
    uint8 array, shape (H, W)
        The mean of the channels: 255 where it is white. Transparent is black.

    Raises
    ------
    InputError
        As `decode`, and if it is black all over.
    """
    picture = decode(data, max_pixels=max_pixels)
    rgb, alpha = picture.rgb, picture.alpha

    def mark(rows: slice) -> NDArray[np.uint8]:
        levels: NDArray[Any] = np.rint(rgb[rows].mean(axis=2))
        if alpha is not None:
            levels = np.rint(levels * alpha[rows] / 255)
        return levels.astype(np.uint8)

    mask = map_row_strips(mark, rgb.shape[:2], np.dtype(np.uint8))  # 64-bit numbers take 16 times
    if not mask.any():
        raise InputError(
            "the mask is black all over: nothing would be recolored",
            "paint the parts to recolor white; transparent parts count as black",
        )
    return mask.astype(np.uint8, copy=False)


def _next_picture(
    pages: Iterator[StoredPage], reader: Reader, target: Codec
) -> DecodedImage | None:
    with decoder_errors():
        page = next(pages, None)
        return normalize(page, reader.codec, target) if page else None
