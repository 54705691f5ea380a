"""Call image libraries: turn their errors into ours, and lift Pillow's limits."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock

from PIL import Image, PngImagePlugin

from recolor_cli.errors import DamagedError, InputError, OutputError, RecolorError
from recolor_cli.image.formats import ImageFormat
from recolor_cli.system.memory import is_out_of_memory
from recolor_cli.system.texts import listed

# imagecodecs logs what libraries, such as libpng, warn of. Python prints it where nobody listens.
logging.getLogger("imagecodecs").addHandler(logging.NullHandler())

MAX_TEXT = 1 << 26
"""Bytes of a text or profile in a PNG, decompressed."""
_MAX_TEXTS = 1 << 28  # bytes of all texts

_MOST_FILLING = 100  # times the bytes that are there

# How decoders say that a file is cut off. Otherwise their messages mean nothing to users.
_CUT_OFF = ("truncat", "premature", "end of file", "only got", "buffer is smaller")


def damage_error(detail: str, some_is_left: bool = False) -> InputError:
    """Return the error for a damaged file.

    Parameters
    ----------
    detail : str
        What is missing or wrong.
    some_is_left : bool
        Whether the rest could be decoded; then it is a `DamagedError`.
    """
    kind = DamagedError if some_is_left else InputError
    return kind(f"the picture is damaged: {detail}", "copy or scan it again")


def nothing_left(detail: str) -> InputError:
    """Return the error for a damaged file from which nothing can be decoded."""
    return InputError(
        f"the picture is damaged: {detail}, and nothing of it can be decoded",
        "copy or scan it again; --damaged keep cannot help here",
    )


def fill(data: bytes, length: int, filling: bytes = b"\0") -> bytes:
    """Return a file that is filled up to a length, or unchanged if nearly all of it is missing.

    The exception keeps a few bytes from declaring a length that takes all memory.
    """
    missing = length - len(data)
    if missing <= 0 or length > _MOST_FILLING * len(data):
        return data
    return data + filling * -(-missing // len(filling))


@contextmanager
def decoder_errors() -> Iterator[None]:
    """Call decoders without Pillow's limits; whatever they raise becomes an `InputError`.

    Decoders raise all kinds of exceptions for broken files, and for want of memory, which becomes
    a `MemoryError`.
    """
    try:
        with _PILLOW_LIMITS:
            yield
    except (RecolorError, MemoryError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise MemoryError from error
        if any(words in str(error).lower() for words in _CUT_OFF):
            raise damage_error("its end is missing") from error
        raise InputError(
            "the picture is damaged, or encoded in a way that cannot be read",
            "copy or scan it again, or convert it: magick FILE out.png",
        ) from error


@contextmanager
def page_errors(number: int, count: int, noun: str) -> Iterator[None]:
    """Name the page or frame in errors, where there are several.

    Parameters
    ----------
    number, count : int
        Of the page, from 1; of all pages.
    noun : str
        ``page`` or ``frame``.
    """
    try:
        yield
    except RecolorError as error:
        if count == 1:
            raise
        message = f"{noun} {number} of {count}: {error.message}"
        raise type(error)(message, error.hint) from error


def faults_of_pages(faults: Mapping[int, InputError], count: int, noun: str) -> InputError:
    """Return one error for all pages or frames that cannot be read.

    Parameters
    ----------
    faults : mapping of int to InputError
        By the number of the page, from 1.
    count, noun
        As for `page_errors`.
    """
    first = next(iter(faults.values()))
    if count == 1:
        return first
    numbers: dict[str, list[str]] = {}
    for number, fault in faults.items():
        numbers.setdefault(fault.message, []).append(str(number))
    parts = [
        f"{noun}{'s' * (len(which) > 1)} {listed(which)} of {count}: {message}"
        for message, which in numbers.items()
    ]
    can_be_kept = all(isinstance(fault, DamagedError) for fault in faults.values())
    kind = DamagedError if can_be_kept else InputError
    return kind("; ".join(parts), first.hint)


@contextmanager
def encoder_errors(image_format: ImageFormat) -> Iterator[None]:
    """Call encoders without Pillow's limits; whatever they raise becomes an `OutputError`.

    Encoders raise all kinds of exceptions for pictures that a format cannot hold. Errors of the
    disk stay an `OSError`, and a want of memory becomes a `MemoryError`.
    """
    try:
        with _PILLOW_LIMITS:
            yield
    except (RecolorError, MemoryError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise MemoryError from error
        if isinstance(error, OSError) and error.errno:
            raise
        other = "png" if image_format is not ImageFormat.PNG else "tif"
        message = f"cannot be written as {image_format.prose_name}"
        raise OutputError(message, f"try --format {other}") from error


class _PillowLimits:
    """Lifts Pillow's limits while any thread is inside, and puts them back after the last.

    Scans of several hundred megapixels are usual here, and `probe` lets callers decide what is too
    large. Texts of a PNG may be large, too; the module `png_chunks` leaves out those that are not
    reasonable. The limits are variables of the whole process: a program that imports this package
    keeps its own.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._pixels: int | None = None
        self._texts = 0, 0

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._pixels = Image.MAX_IMAGE_PIXELS
                self._texts = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
                Image.MAX_IMAGE_PIXELS = None
                PngImagePlugin.MAX_TEXT_CHUNK = MAX_TEXT
                PngImagePlugin.MAX_TEXT_MEMORY = _MAX_TEXTS
            self._users += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                Image.MAX_IMAGE_PIXELS = self._pixels
                PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = self._texts


_PILLOW_LIMITS = _PillowLimits()
