"""Pictures in a terminal that can show them: kitty's protocol, iTerm2's, or sixels.

What a terminal can do is told by its environment or, for sixels, by itself: it is asked for its
attributes (DA1, ``ESC [ c``), and the answer names 4 if it has them. A terminal multiplexer
inherits the environment of a terminal that it hides, so there only the answer counts.

References
----------
sw.kovidgoyal.net/kitty/graphics-protocol. iterm2.com/documentation-images.html. VT330/VT340
Programmer Reference Manual, volume 2, chapter 14 (sixel graphics).
"""

from __future__ import annotations

import base64
import io
import os
import re
import select
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum

import cv2
import numpy as np
from PIL import Image

from recolor_cli.types import RgbImage

_CHUNK = 4096  # bytes of base64 that kitty takes at a time
_COLORS = 256  # that a VT340 and everything after it has
_MOST_WIDTH, _MOST_HEIGHT = 640, 400  # px: half a usual window
_PATIENCE = 0.5  # s that a terminal has to answer, also over a network


class Protocol(StrEnum):
    """How a terminal is shown a picture."""

    KITTY = "kitty"
    ITERM2 = "iTerm2"
    SIXEL = "sixel"


def protocol_of(environment: Mapping[str, str], terminal: int | None) -> Protocol | None:
    """Tell how a terminal can show pictures; None if it cannot.

    Parameters
    ----------
    environment : mapping
        As `os.environ`.
    terminal : int or None
        A file descriptor to ask it by, open for reading and writing; None cannot be asked.
    """
    program, term = environment.get("TERM_PROGRAM", ""), environment.get("TERM", "")
    is_multiplexed = "TMUX" in environment or term.startswith(("screen", "tmux"))
    if not is_multiplexed:
        if "KITTY_WINDOW_ID" in environment or term in ("xterm-kitty", "xterm-ghostty"):
            return Protocol.KITTY
        if program == "ghostty":
            return Protocol.KITTY
        if program in ("iTerm.app", "WezTerm") or environment.get("LC_TERMINAL") == "iTerm2":
            return Protocol.ITERM2
    if terminal is not None and has_sixels(terminal):
        return Protocol.SIXEL
    return None


def has_sixels(terminal: int) -> bool:
    """Ask a terminal whether it has sixels; one that does not answer in half a second has none.

    Parameters
    ----------
    terminal : int
        A file descriptor of it, open for reading and writing.
    """
    if not os.isatty(terminal) or _is_in_background(terminal):
        return False
    try:
        with _unbuffered(terminal):
            os.write(terminal, b"\x1b[c")
            answer, end = b"", time.monotonic() + _PATIENCE
            while (left := end - time.monotonic()) > 0 and b"c" not in answer:
                if not select.select([terminal], [], [], left)[0]:
                    break
                answer += os.read(terminal, 100)
    except (ImportError, OSError):  # Windows; or it was closed
        return False
    match = re.search(rb"\x1b\[\?([\d;]*)c", answer)
    return bool(match and b"4" in match[1].split(b";")[1:])


def _is_in_background(terminal: int) -> bool:
    """Tell whether the system would stop us for changing the terminal's settings."""
    if sys.platform == "win32":
        return False
    try:
        return os.tcgetpgrp(terminal) != os.getpgrp()
    except OSError:  # it is not the one that controls this process
        return False


@contextmanager
def _unbuffered(terminal: int) -> Iterator[None]:
    """Let an answer be read that has no end of line, and not be seen."""
    import termios

    before = termios.tcgetattr(terminal)
    quiet = termios.tcgetattr(terminal)
    quiet[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(terminal, termios.TCSAFLUSH, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)


def drawn(rgb: RgbImage, protocol: Protocol) -> bytes:
    """Return what makes a terminal show a picture, with the end of a line.

    Parameters
    ----------
    rgb : uint8 array, shape (H, W, 3)
        Reduced to half a window first, if it is larger.
    protocol : Protocol
    """
    scale = min(1.0, _MOST_WIDTH / rgb.shape[1], _MOST_HEIGHT / rgb.shape[0])
    size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
    small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    if protocol is Protocol.SIXEL:
        return _sixels(small) + b"\n"
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue())
    if protocol is Protocol.ITERM2:
        about = f"inline=1;size={len(buffer.getvalue())};width={size[0]}px;height={size[1]}px"
        return b"\x1b]1337;File=" + about.encode() + b":" + data + b"\a\n"
    parts = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    drawing = b""
    for number, part in enumerate(parts):  # q=2: it is not to answer
        first = b"a=T,f=100,q=2," if number == 0 else b""
        more = b"m=1" if number + 1 < len(parts) else b"m=0"
        drawing += b"\x1b_G" + first + more + b";" + part + b"\x1b\\"
    return drawing + b"\n"


def _sixels(rgb: RgbImage) -> bytes:
    """Encode a picture as sixels: bands of six rows, in each a line of every color it has."""
    image = Image.fromarray(rgb).quantize(_COLORS)
    palette = np.asarray(image.getpalette(), int).reshape(-1, 3)
    index = np.asarray(image)
    height, width = index.shape
    parts = [f'\x1bP0;1q"1;1;{width};{height}']
    for color in np.unique(index):  # in percent
        red, green, blue = np.rint(palette[color] * (100 / 255)).astype(int)
        parts.append(f"#{color};2;{red};{green};{blue}")
    bits = 1 << np.arange(6)[:, None]
    for top in range(0, height, 6):
        band = index[top : top + 6]
        lines = []
        for color in np.unique(band):
            columns = ((band == color) * bits[: len(band)]).sum(axis=0)
            lines.append(f"#{color}{_run_lengths(columns)}")
        parts.append("$".join(lines) + "-")
    return ("".join(parts) + "\x1b\\").encode("ascii")


def _run_lengths(columns: np.ndarray) -> str:
    """Return columns of six dots as characters, of which equal ones are counted."""
    starts = np.flatnonzero(np.diff(columns, prepend=-1))
    counts = np.diff(starts, append=len(columns))
    runs = zip(columns[starts], counts, strict=True)
    return "".join(
        f"!{count}{chr(63 + dots)}" if count > 3 else chr(63 + dots) * count for dots, count in runs
    )
