"""Files that are cut off, of the formats whose decoders want all of a file."""

import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from conftest import draw
from recolor_cli.errors import DamagedError, InputError
from recolor_cli.image.decode import decode, decode_pages
from recolor_cli.image.probe import probe

RGB = np.clip(
    draw(120, 160).astype(int) + np.random.default_rng(0).integers(-20, 20, (120, 160, 3)), 0, 255
).astype(np.uint8)


def encoded(image_format: str, pixels: np.ndarray = RGB, mode: str = "RGB", **options) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels).convert(mode)
    if "append_images" in options:
        options["append_images"] = [picture.transpose(kind) for kind in options["append_images"]]
    picture.save(buffer, image_format, **options)
    return buffer.getvalue()


def text_of(pixels: np.ndarray, kind: bytes) -> bytes:
    levels = b" ".join(b"%d" % level for level in pixels.reshape(-1))
    return b"%b\n# drawn\n160 120\n255\n%b\n" % (kind, levels)


ROWS = {  # formats that lose rows at the bottom
    "GIF": encoded("GIF", interlace=False),
    "WebP": encoded("WEBP"),
    "AVIF": encoded("AVIF"),
    "BMP": encoded("BMP"),
    "BMP gray": encoded("BMP", mode="L"),
    "PPM": encoded("PPM"),
    "PGM": encoded("PPM", mode="L"),
    "PBM": encoded("PPM", mode="1"),
    "PPM of 16 bits": b"P6\n160 120\n65535\n" + (RGB.astype(">u2") * 257).tobytes(),
    "PPM of text": text_of(RGB, b"P3"),
    "PGM of text": text_of(RGB[..., 0], b"P2"),
    "PBM of text": b"P1\n160 120\n" + b"\n".join(b"01" * 80 for _ in range(120)),
}
PARTS = {  # formats that lose sharpness, or tiles
    "JPEG 2000": encoded("JPEG2000"),
    "JPEG 2000, lossy": encoded(
        "JPEG2000", irreversible=True, quality_mode="rates", quality_layers=[8]
    ),
    "JPEG 2000 in tiles": encoded("JPEG2000", tile_size=(64, 64)),
    "code stream": bytes(imagecodecs.jpeg2k_encode(RGB, level=0, codecformat="j2k")),
    "JPEG 2000 of 16 bits": bytes(
        imagecodecs.jpeg2k_encode(RGB.astype(np.uint16) * 257, level=0, codecformat="jp2")
    ),
}


@pytest.mark.parametrize("name", ROWS | PARTS)
def test_whole_files_are_not_filled_up(name):
    data = (ROWS | PARTS)[name]
    (page,) = decode_pages(data)
    assert (page.damage, page.warnings) == ("", ())
    reader = probe(data).reader
    assert reader.data is data or name.endswith("of text")  # which is converted
    assert reader.damage == ""


@pytest.mark.parametrize(
    "rest",
    [
        b"\0",
        b"\xff" * 50,
        b"\0\0\0\3abcdefgh",
        b"\0\0\3\0abcdefghijklmnop",
        b"\0\0\0\x18ftypmp42" + b"\0" * 12 + b"\0\0\0\x40mdat",
        "itself",
    ],
)
@pytest.mark.parametrize("name", [name for name in ROWS | PARTS if "of text" not in name])
def test_what_follows_the_end_is_no_damage(name, rest):
    data = (ROWS | PARTS)[name]
    (page,) = decode_pages(data + (data if rest == "itself" else rest))
    assert page.damage == ""
    assert np.array_equal(page.rgb, next(decode_pages(data)).rgb)


@pytest.mark.parametrize("share", [0.5, 0.75, 0.96])
@pytest.mark.parametrize("name", ROWS | PARTS)
def test_what_is_left_is_kept_on_demand(name, share):
    data = (ROWS | PARTS)[name]
    cut = data[: int(len(data) * share)]
    with pytest.raises(DamagedError, match="damaged: its end is missing"):
        decode(cut)
    whole = decode(data).rgb.astype(int)
    (page,) = decode_pages(cut, keep_damaged=True)
    assert page.damage == "its end is missing"
    assert page.warnings[0].startswith("the picture is damaged: its end is missing; what is left")
    assert page.rgb.shape == whole.shape
    if name in ROWS:
        first = int(60 * share) - 8  # the upper rows may need more bytes, and filters smooth
        upper = np.s_[-first:] if name.startswith("BMP") else np.s_[:first, :48]
        wanted = next(decode_pages(data)).rgb[upper]
        assert np.array_equal(page.rgb[upper], wanted)
    elif "tiles" not in name:
        assert np.abs(decode(cut, keep_damaged=True).rgb - whole).mean() < 25
    else:
        assert np.abs(page.rgb[:40, :60] - whole[:40, :60]).mean() < 2


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "AVIF"])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.99])
def test_the_frames_before_the_end_are_kept(image_format, share):
    turns = [Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.ROTATE_180]
    data = encoded(image_format, save_all=True, append_images=turns, duration=70)
    whole = list(decode_pages(data))
    cut = data[: int(len(data) * share)]
    with pytest.raises(DamagedError, match="its end is missing"):
        list(decode_pages(cut))
    pages = list(decode_pages(cut, keep_damaged=True))
    assert 0 < len(pages) <= 3
    assert [bool(page.damage) for page in pages] == [True] + [False] * (len(pages) - 1)
    assert pages[0].warnings[0].startswith("the picture is damaged")
    for page, wanted in zip(pages[:-1], whole, strict=False):
        assert np.array_equal(page.rgb, wanted.rgb)
        assert page.milliseconds == 70


def test_a_gif_cut_between_two_frames_keeps_those_before():
    turns = [Image.Transpose.FLIP_TOP_BOTTOM]
    data = encoded("GIF", save_all=True, append_images=turns, duration=70)
    second = data.rindex(b"\x21\xf9")  # the extension in front of a frame
    frame = data.index(b"\x2c", second)
    colors = 2 << (data[frame + 9] & 7) if data[frame + 9] & 0x80 else 0
    for end in (second + 3, frame + 4, frame + 11 + 3 * colors):
        (page,) = decode_pages(data[:end], keep_damaged=True)
        assert page.damage == "its end is missing"
        assert np.array_equal(page.rgb, next(decode_pages(data)).rgb)


@pytest.mark.parametrize("keep", [False, True])
def test_of_lossless_webp_nothing_can_be_kept(keep):
    data = encoded("WEBP", lossless=True)
    with pytest.raises(InputError, match="nothing of it can be decoded") as caught:
        decode(data[: len(data) // 2], keep_damaged=keep)
    assert not isinstance(caught.value, DamagedError)
    assert "--damaged keep cannot help" in caught.value.hint


@pytest.mark.parametrize("name", ["BMP", "PPM", "PPM of 16 bits"])
def test_a_file_without_pixels_has_nothing_to_keep(name):
    data = ROWS[name]
    small = data[:54] if name == "BMP" else data[:15]
    with pytest.raises(InputError, match="damaged") as caught:
        decode(small, keep_damaged=True)
    assert not isinstance(caught.value, DamagedError)


@pytest.mark.parametrize("name", ["GIF", "WebP", "AVIF", "BMP", "PPM", "JPEG 2000"])
def test_a_few_bytes_cannot_declare_much_memory(name):
    data = bytearray((ROWS | PARTS)[name][:300])
    if name == "WebP":
        data[16:20] = b"\xf0\xff\xff\xff"
    elif name == "BMP":
        data[18:26] = b"\0\0\1\0" * 2
    elif name == "PPM":
        data = bytearray(b"P6\n60000 60000\n255\n") + data
    with pytest.raises(InputError):
        list(decode_pages(bytes(data), keep_damaged=True))
