import base64
import io
import os
import re
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from conftest import draw
from recolor_cli.terminal.inline_images import Protocol, drawn, has_sixels, protocol_of


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, Protocol.KITTY),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, Protocol.KITTY),
        ({"TERM_PROGRAM": "ghostty"}, Protocol.KITTY),
        ({"TERM_PROGRAM": "iTerm.app"}, Protocol.ITERM2),
        ({"TERM_PROGRAM": "WezTerm"}, Protocol.ITERM2),
        ({"LC_TERMINAL": "iTerm2", "TERM": "xterm"}, Protocol.ITERM2),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "tmux-256color", "TMUX": "/x", "KITTY_WINDOW_ID": "1"}, None),
        ({}, None),
    ],
)
def test_what_the_environment_says(environment, protocol):
    assert protocol_of(environment, None) is protocol


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such terminals")
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"\x1b[?62;4;22c", Protocol.SIXEL),
        (b"\x1b[?4c", None),  # of a VT132: the first number is the kind
        (b"\x1b[?64;1;2;14c", None),
        (b"", None),
    ],
)
def test_a_terminal_is_asked(answer, expected):
    import termios

    master, slave = os.openpty()

    def terminal():
        asked = os.read(master, 10)
        assert asked == b"\x1b[c"
        os.write(master, answer)

    thread = threading.Thread(target=terminal)
    before = termios.tcgetattr(slave)
    thread.start()
    try:
        assert protocol_of({"TERM": "foot"}, slave) is expected
        assert termios.tcgetattr(slave) == before
    finally:
        thread.join()
        os.close(master)
        os.close(slave)


def test_a_file_is_no_terminal(tmp_path):
    with (tmp_path / "file").open("w+b") as file:
        assert not has_sixels(file.fileno())


@pytest.mark.parametrize("protocol", [Protocol.KITTY, Protocol.ITERM2])
def test_the_picture_is_in_the_escapes(protocol):
    rgb = draw(120, 90)
    text = drawn(rgb, protocol)
    assert text.endswith(b"\n")
    if protocol is Protocol.KITTY:
        parts = re.findall(rb"\x1b_G([^;]*);([^\x1b]*)\x1b\\", text)
        assert parts[0][0].startswith(b"a=T,f=100")
        assert [b"m=1" in head for head, _ in parts] == [True] * (len(parts) - 1) + [False]
        assert all(len(part) <= 4096 for _, part in parts)
        data = base64.b64decode(b"".join(part for _, part in parts))
    else:
        head, data = re.fullmatch(rb"\x1b]1337;File=([^:]*):([^\a]*)\a\n", text).groups()
        data = base64.b64decode(data)
        assert f"size={len(data)}".encode() in head
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), rgb)


def of_sixels(text: bytes) -> np.ndarray:
    """Draw sixels as a terminal does."""
    match = re.fullmatch(rb'\x1bP0;1q"1;1;(\d+);(\d+)(.*)\x1b\\\n', text, re.DOTALL)
    width, height = int(match[1]), int(match[2])
    page = np.zeros((height + 6, width, 3))
    colors, color, x, y, count = {}, 0, 0, 0, 1
    for token in re.findall(rb"#\d+;2;\d+;\d+;\d+|#\d+|!\d+|[?-~]|\$|-", match[3]):
        if token[:1] == b"#":
            numbers = [int(n) for n in token[1:].split(b";")]
            color = numbers[0]
            if len(numbers) > 1:
                colors[color] = np.array(numbers[2:]) * 2.55
        elif token[:1] == b"!":
            count = int(token[1:])
        elif token == b"$":
            x = 0
        elif token == b"-":
            x, y = 0, y + 6
        else:
            for bit in range(6):
                if (token[0] - 63) >> bit & 1:
                    page[y + bit, x : x + count] = colors[color]
            x, count = x + count, 1
    return page[:height]


@pytest.mark.parametrize("shape", [(120, 90), (7, 300), (1, 1), (64, 5)])
def test_sixels(shape):
    rgb = draw(*shape)
    page = of_sixels(drawn(rgb, Protocol.SIXEL))
    assert page.shape == rgb.shape
    assert np.abs(page - rgb).mean() < 8  # 256 colors


def test_large_pictures_are_reduced():
    page = of_sixels(drawn(draw(900, 600), Protocol.SIXEL))
    assert page.shape == (400, 267, 3)
