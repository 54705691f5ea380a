"""Decode the text and the names of files, and write counts as people do."""

from __future__ import annotations

import codecs
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence

# UTF-32 comes first: its mark in little-endian begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
# Encodings without a mark, by the first bytes of two ASCII characters in them: 0 is a NUL.
_WIDE_ASCII = {
    "x000": "utf-32-le",
    "000x": "utf-32-be",
    "x0x0": "utf-16-le",
    "0x0x": "utf-16-be",
}


def counted(count: int, noun: str) -> str:
    """Return a count with its noun.

    Parameters
    ----------
    count : int
    noun : str
        In the singular, with a plural in -s.

    Examples
    --------
    >>> counted(1, "frame"), counted(1200, "frame")
    ('1 frame', '1,200 frames')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def megabytes(count: int) -> str:
    """Return a number of bytes as people read it.

    Examples
    --------
    >>> megabytes(123_456_789), megabytes(1200)
    ('123.5 MB', '1,200 bytes')
    """
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count:,} bytes"


def listed(names: Sequence[str]) -> str:
    """Return names as a list in prose.

    Examples
    --------
    >>> listed(["2"]), listed(["2", "4", "5"])
    ('2', '2, 4 and 5')
    """
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last


def as_text(name: str) -> str:
    r"""Return a file's name as text, in which each byte that is not UTF-8 is U+FFFD.

    Examples
    --------
    >>> as_text("poster-\udcff.png") == "poster-\ufffd.png"
    True
    """
    return os.fsencode(name).decode("utf-8", "replace")


def decode_text(data: bytes, errors: str = "strict") -> str:
    r"""Decode a whole text: UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Parameters
    ----------
    data : bytes
        A text in UTF-16 or UTF-32 that has no mark must begin with two ASCII characters.
    errors : str
        As for `bytes.decode`.

    Raises
    ------
    ValueError
        If it is no such text, and `errors` is ``strict``.

    Examples
    --------
    >>> decode_text("[]".encode("utf-16")), decode_text(b"\xef\xbb\xbf[]")
    ('[]', '[]')
    """
    start = "".join("x" if byte else "0" for byte in data[:4])
    encoding = _marked_encoding(data) or _WIDE_ASCII.get(start, "utf-8")
    try:
        return data.decode(encoding, errors)
    except UnicodeDecodeError as error:
        raise ValueError("it is no text in UTF-8 or UTF-16") from error


def to_utf8(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Convert a text that comes in chunks to UTF-8 without a byte order mark.

    Chunks of a text without a mark are yielded as they are, because file names need not be text.

    Raises
    ------
    ValueError
        If a mark says UTF-16 or UTF-32, and the text is not in it.
    """
    chunks = iter(chunks)
    start = b""
    for chunk in chunks:
        start += chunk
        # Go on while it may be the beginning of a mark.
        if not any(mark.startswith(start) and mark != start for mark, _ in _MARKS):
            break
    encoding = _marked_encoding(start)
    if encoding is None or encoding == "utf-8-sig":
        yield start.removeprefix(codecs.BOM_UTF8)
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for chunk in itertools.chain([start], chunks):
            yield decoder.decode(chunk).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise ValueError("its byte order mark says UTF-16, and the rest is none") from error


def _marked_encoding(data: bytes) -> str | None:
    """Return the encoding that a byte order mark tells."""
    return next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
