"""The size of a GIF's canvas, which each of its frames may enlarge: Pillow tells that of the first.

References
----------
GIF89a specification (CompuServe 1990), appendix A.
"""

from __future__ import annotations

import struct

_EXTENSION, _FRAME, _TRAILER = 0x21, 0x2C, 0x3B


def canvas_pixels(data: bytes) -> int:
    """Return how many pixels the canvas has once all frames were shown.

    Parameters
    ----------
    data : bytes
        A GIF; where it is cut off, what is left counts.
    """
    width = height = 0
    try:
        width, height = struct.unpack_from("<HH", data, 6)
        at = 13 + _table(data[10])
        while data[at] != _TRAILER:
            if data[at] == _FRAME:
                left, top, across, down = struct.unpack_from("<HHHH", data, at + 1)
                width, height = max(width, left + across), max(height, top + down)
                at = _behind_blocks(data, at + 11 + _table(data[at + 9]))
            elif data[at] == _EXTENSION:
                at = _behind_blocks(data, at + 2)
            else:
                at += 1  # decoders step over what they do not know
    except (IndexError, struct.error):
        pass  # cut off
    return int(width * height)


def _table(flags: int) -> int:
    """Return the bytes that a table of colors takes, by the flags that announce it."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _behind_blocks(data: bytes, at: int) -> int:
    """Return the place behind blocks of a length and so many bytes, the last of which is empty."""
    while data[at]:
        at += 1 + data[at]
    return at + 1
