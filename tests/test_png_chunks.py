"""PNGs with broken chunks, with missing pixels, and with what few programs write."""

import io
import logging
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from test_formats import DEEP, bare_png

from conftest import draw, encoded
from recolor_cli.errors import DamagedError, InputError
from recolor_cli.image.decode import decode, decode_pages
from recolor_cli.image.encode import ImageEncoding, encode_all
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.formats.png_chunks import make_chunk, walk_chunks

RGB = draw(64, 48)
UNPACKS_TO_80_MB = zlib.compress(bytes(80_000_000), 1)
START = 33  # behind the header
KNOWN_CHUNKS = [
    "acTL", "bKGD", "cHRM", "cICP", "cLLI", "eXIf", "gAMA", "iCCP", "iTXt",
    "mDCV", "pHYs", "sBIT", "sPLT", "tEXt", "tIME", "tRNS", "zTXt",
]  # fmt: skip


def deep_png() -> bytes:
    return bare_png(DEEP, 16, 2)


def with_chunk(png: bytes, name: bytes, content: bytes, wrong: bool = False) -> bytes:
    new = make_chunk(name, content)
    if wrong:
        new = new[:-1] + bytes([new[-1] ^ 1])
    return png[:START] + new + png[START:]


def spoil(png: bytes, name: bytes) -> bytes:
    """Return a PNG with another checksum of a chunk."""
    chunk = next(chunk for chunk in walk_chunks(png) if chunk.name == name)
    return png[: chunk.end - 1] + bytes([png[chunk.end - 1] ^ 1]) + png[chunk.end :]


@pytest.mark.parametrize("png", [encoded(RGB, "PNG"), deep_png()], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"eXIf", b"tIME", b"prVt", b"iCCP", b"gAMA"])
def test_a_broken_chunk_that_nobody_needs_is_left_out(png, name):
    bad = with_chunk(png, name, b"key\0\0rest", wrong=True)
    page = decode(bad)
    assert np.array_equal(page.rgb, decode(png).rgb)
    assert name.decode() in page.warnings[0]
    (page,) = decode_pages(bad)
    assert page.damage == ""


@pytest.mark.parametrize("png", [encoded(RGB, "PNG"), deep_png()], ids=["8 bits", "16 bits"])
def test_the_end_is_not_needed(png):
    expected = decode(png).rgb
    for bad in (png[:-12], spoil(png, b"IEND"), png[:-5], png + b"more", png[:-12] + b"\0" * 40):
        page = decode(bad)
        assert np.array_equal(page.rgb, expected)
        assert page.warnings == decode(png).warnings


@pytest.mark.parametrize("name", [b"IHDR", b"IDAT", b"PLTE", b"tRNS"])
def test_a_broken_chunk_that_the_picture_needs_is_damage(name):
    palette = Image.fromarray(RGB).quantize(64)
    buffer = io.BytesIO()
    palette.save(buffer, "PNG", transparency=3)
    assert decode(buffer.getvalue()).warnings == ()
    with pytest.raises(InputError, match="damaged"):
        decode(spoil(buffer.getvalue(), name))


def test_a_hole_in_the_pixels_is_damage():
    noise = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    png = encoded(noise, "PNG", compress_level=0)
    middle = len(png) // 2
    bad = png[:middle] + b"\0" * 500 + png[middle + 500 :]
    with pytest.raises(InputError, match="damaged") as caught:
        decode(bad)
    assert isinstance(caught.value, DamagedError)
    (page,) = decode_pages(bad, keep_damaged=True)
    assert page.damage
    assert np.array_equal(page.rgb[:20], noise[:20])


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_what_is_left_of_the_pixels_is_kept_on_demand(bits, share, interlaced):
    pixels = DEEP if bits == 16 else (DEEP >> 8).astype(np.uint8)
    png = bare_png(pixels, 16, 2, interlaced) if bits == 16 else encoded(pixels, "PNG")
    half = png[: int(len(png) * share)]
    for bad in (half, half + make_chunk(b"IEND", b"")):
        with pytest.raises(InputError, match="damaged"):
            decode(bad)
        (page,) = decode_pages(bad, keep_damaged=True)
        assert page.damage
        assert "damaged" in page.warnings[0]
        assert page.rgb.dtype == pixels.dtype
        if not (interlaced and bits == 16):
            assert np.array_equal(page.rgb[:10], pixels[:10])
            assert not page.rgb[-1].any()


def test_a_file_that_ends_between_two_pieces_of_pixels_is_damaged():
    png = encoded(RGB, "PNG")
    (pixels,) = (chunk for chunk in walk_chunks(png) if chunk.name == b"IDAT")
    packed = png[pixels.start + 8 : pixels.end - 4]
    head = png[: pixels.start]
    whole = head + make_chunk(b"IDAT", packed[:500]) + make_chunk(b"IDAT", packed[500:])
    assert np.array_equal(decode(whole).rgb, RGB)
    cut = head + make_chunk(b"IDAT", packed[:500])
    with pytest.raises(InputError, match="its end is missing"):
        decode(cut)
    (page,) = decode_pages(cut, keep_damaged=True)
    assert np.array_equal(page.rgb[0], RGB[0])


@pytest.mark.parametrize("size", [2_000_000, 20_000_000])
def test_a_picture_is_not_refused_for_large_texts(size):
    info = PngInfo()
    info.add_text("Comment", "a" * size, zip=True)
    png = encoded(RGB, "PNG", pnginfo=info)
    (page,) = decode_pages(png)
    assert dict(page.metadata.texts)["Comment"] == "a" * size
    assert page.warnings == ()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"zTXt", b"key\0\0" + UNPACKS_TO_80_MB),
        (b"iTXt", b"key\0\1\0\0\0" + UNPACKS_TO_80_MB),
        (b"iCCP", b"key\0\0" + UNPACKS_TO_80_MB),
        (b"zTXt", b"key\0\7what"),
        (b"iTXt", b"key\0\1\7\0\0what"),
        (b"iCCP", b"key\0\7what"),
    ],
)
def test_a_text_that_cannot_be_read_is_left_out(name, content):
    (page,) = decode_pages(with_chunk(encoded(RGB, "PNG"), name, content))
    assert np.array_equal(page.rgb, RGB)
    assert name.decode() in page.warnings[0]


@pytest.fixture
def printed(capfd, monkeypatch):
    """Return a function that returns what was printed. Nobody listens to the logs, as in a run."""
    monkeypatch.setattr(logging.root, "handlers", [])
    return lambda: "".join(capfd.readouterr())


@pytest.mark.parametrize("png", [encoded(RGB, "PNG"), deep_png()], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"hIST", b"\0\1" * 4),
        (b"PLTE", b"abcd"),
        (b"cICP", b"\1\2\3\4"),
        (b"pCAL", b"x"),
        (b"sBIT", b"\0\0\0"),
        (b"tIME", b"\0" * 7),
    ],
)
def test_the_library_prints_nothing_of_what_it_doubts(png, name, content, printed):
    page = decode(with_chunk(png, name, content))
    assert np.array_equal(page.rgb, decode(png).rgb)
    assert printed() == ""


@pytest.mark.parametrize("png", [encoded(RGB, "PNG"), deep_png()], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("length", [0, 1])
@pytest.mark.parametrize("name", KNOWN_CHUNKS)
def test_a_chunk_that_is_too_short_is_left_out(png, name, length, printed):
    page = decode(with_chunk(png, name.encode(), b"\1" * length))
    assert np.array_equal(page.rgb, decode(png).rgb)
    assert page.alpha is None
    assert name in page.warnings[0]
    assert printed() == ""


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_gray_that_is_transparent(bits):
    levels = (np.arange(16 * 12).reshape(16, 12) % min(2**bits, 12)).astype(np.uint16)
    png = with_chunk(bare_png(levels, bits, 0), b"tRNS", struct.pack(">H", 1))
    (page,) = decode_pages(png)
    assert np.array_equal(page.alpha == 0, levels == 1)
    assert np.array_equal(
        page.rgb[..., 0], levels * ((65535 if bits == 16 else 255) // (2**bits - 1))
    )


def hidden_picture(frames: int) -> tuple[bytes, list[np.ndarray]]:
    """Return an animation with a picture for programs that show none, and all its pictures."""
    pictures = [draw(32, 40, seed=seed) for seed in range(frames + 1)]
    first, *others = (Image.fromarray(picture) for picture in pictures)
    buffer = io.BytesIO()
    first.save(
        buffer,
        "PNG",
        save_all=True,
        append_images=others,
        default_image=True,
        duration=[70] * frames,
    )
    return buffer.getvalue(), pictures


@pytest.mark.parametrize("frames", [1, 3])
def test_a_hidden_picture_stays_hidden(frames):
    data, pictures = hidden_picture(frames)
    found = list(decode_pages(data))
    assert [page.is_hidden for page in found] == [True] + [False] * frames
    for page, picture in zip(found, pictures, strict=True):
        assert np.array_equal(page.rgb, picture)
    results = ((page, 255 - page.rgb) for page in found)
    result = encode_all(results, ImageEncoding(ImageFormat.PNG))
    again = list(decode_pages(result))
    assert [page.is_hidden for page in again] == [True] + [False] * frames
    assert [page.milliseconds for page in again[1:]] == [70] * frames
    for page, picture in zip(again, pictures, strict=True):
        assert np.array_equal(page.rgb, 255 - picture)


@pytest.mark.parametrize("target", [ImageFormat.GIF, ImageFormat.WEBP])
def test_a_hidden_picture_is_no_frame_elsewhere(target):
    data, pictures = hidden_picture(3)
    found = list(decode_pages(data, target))
    assert len(found) == 3
    assert np.array_equal(found[0].rgb, pictures[1])
    result = encode_all(((page, page.rgb) for page in found), ImageEncoding(target))
    assert len(list(decode_pages(result))) == 3


def test_a_still_result_has_the_hidden_picture():
    data, pictures = hidden_picture(2)
    (page,) = decode_pages(data, ImageFormat.JPEG)
    assert np.array_equal(page.rgb, pictures[0])
    assert "animation is left out" in page.warnings[0]


def test_what_is_left_of_a_damaged_animation_is_its_still_picture():
    data, pictures = hidden_picture(2)
    bad = spoil(data, b"fdAT")
    with pytest.raises(InputError, match="damaged"):
        decode(bad)
    (page,) = decode_pages(bad, keep_damaged=True)
    assert np.array_equal(page.rgb, pictures[0])
    assert page.damage
