"""What users give: palettes and hints, whole and broken; and what `Recolorizer` makes of them."""

import json
import struct

import numpy as np
import pytest
from PIL import Image

from conftest import SpyNetwork, draw, encoded
from recolor_cli.color.annealed_mean import Distribution
from recolor_cli.color.lab import rgb_to_lab_cv2, rgb_to_lightness
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.errors import InferenceError, InputError, ModelError, UsageError
from recolor_cli.guidance.color_texts import levels_to_ab, parse_color
from recolor_cli.guidance.hint_files import load_hints
from recolor_cli.guidance.hints import Hint, Hints
from recolor_cli.guidance.palette_bank import named_palette
from recolor_cli.guidance.palette_files import load_palette
from recolor_cli.guidance.recolor_options import MAX_VARIANTS, RecolorOptions, Steering
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.system import stores
from recolor_cli.types import ImageSize

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
RED, NAVY = levels_to_ab([(200, 16, 46)])[0], levels_to_ab([(17, 34, 51)])[0]


def ase(*colors: tuple[bytes, tuple[float, ...]]) -> bytes:
    """Return an Adobe swatch exchange file, its colors in a group."""
    blocks = [struct.pack(">HIH", 0xC001, 4, 1) + b"\0\0"]
    for model, values in colors:
        name = "Ä\0".encode("utf-16-be")
        body = struct.pack(">H", len(name) // 2) + name + model
        body += struct.pack(f">{len(values)}fH", *values, 0)
        blocks.append(struct.pack(">HI", 1, len(body)) + body)
    blocks.append(struct.pack(">HI", 0xC002, 0))
    return b"ASEF" + struct.pack(">HHI", 1, 0, len(blocks)) + b"".join(blocks)


def aco(version: int, *colors: tuple[int, ...]) -> bytes:
    data = struct.pack(">HH", version, len(colors))
    for color in colors:
        data += struct.pack(">5H", *(word & 0xFFFF for word in color))
        if version == 2:
            data += struct.pack(">I", 2) + "A\0".encode("utf-16-be")
    return data


GPL = b"GIMP Palette\r\nName: x\r\nColumns: 2\r\n# of two\r\n200  16  46\tRed\r\n 17 34 51 Navy\r\n"
RGB = [(b"RGB ", (200 / 255, 16 / 255, 46 / 255)), (b"RGB ", (17 / 255, 34 / 255, 51 / 255))]
WORDS = [(0, 200 * 257, 16 * 257, 46 * 257, 0), (0, 17 * 257, 34 * 257, 51 * 257, 0)]


@pytest.mark.parametrize(
    ("name", "data"),
    [("p.gpl", GPL), ("p.ase", ase(*RGB)), ("a.aco", aco(1, *WORDS)), ("b.aco", aco(2, *WORDS))],
)
def test_palette_files_hold_the_colors_that_were_put_in(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    palette = load_palette(str(path))
    np.testing.assert_allclose(palette.ab, [RED, NAVY], atol=0.3)
    np.testing.assert_allclose(palette.shares, 0.5)


def test_palette_files_in_other_color_models(tmp_path):
    gray, blue = (0, 0), levels_to_ab([(0, 0, 255)])[0]
    a = [
        (b"CMYK", (1.0, 1.0, 0.0, 0.0)),
        (b"Gray", (0.4,)),
        (b"LAB ", (0.5, 30.0, -40.0)),
    ]
    (tmp_path / "a.ase").write_bytes(ase(*a))
    ab = load_palette(str(tmp_path / "a.ase")).ab
    np.testing.assert_allclose(ab, [blue, gray, (30, -40)], atol=0.1)
    b = [
        (1, 43690, 65535, 65535, 0),  # hue 240 degrees
        (2, 0, 0, 65535, 65535),  # all of cyan and magenta
        (7, 5000, 3000, -4000, 0),
        (8, 5000, 0, 0, 0),
        (9, 10000, 10000, 0, 0),
    ]
    (tmp_path / "b.aco").write_bytes(aco(1, *b))
    ab = load_palette(str(tmp_path / "b.aco")).ab
    np.testing.assert_allclose(ab, [blue, blue, (30, -40), gray, blue], atol=0.1)


def test_a_list_of_colors_and_a_picture_are_palettes(tmp_path):
    np.testing.assert_allclose(load_palette("#c8102e, #123").ab, [RED, NAVY], atol=1e-4)
    rgb = np.zeros((600, 500, 3), np.uint8)
    rgb[:, :125] = (200, 16, 46)
    path = tmp_path / "modern.png"
    path.write_bytes(encoded(rgb, "PNG"))
    palette = load_palette(str(path))
    assert len(palette.ab) < 256 * 256
    is_red = np.linalg.norm(palette.ab - RED, axis=1) < 3
    assert palette.shares[is_red].sum() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("x.gpl", b"GIMP Palette\n", "no color"),
        ("x.gpl", b"GIMP Palette\n300 0 0\n", "300 0 0"),
        ("x.gpl", b"GIMP Palette\nred\n", "'red' is not a color"),
        ("x.gpl", b"GIMP Palette\nName:Foo\n", "'Name:Foo' is not a color"),
        ("x.gpl", b"GIMP Palette\n255.0 0 0\n", "'255.0 0 0' is not a color"),
        ("x.ase", ase(*RGB)[:40], "is broken: its end is missing"),
        ("x.ase", ase((b"HSB ", (1.0, 1.0, 1.0))), "HSB"),
        ("x.ase", ase(), "no color"),
        ("x.ase", ase((b"LAB ", (0.5, float("nan"), 0.0))), "not a number"),
        ("x.aco", aco(1, *WORDS)[:9], "is broken: its end is missing"),
        ("x.aco", aco(3), "version 3"),
        ("x.aco", aco(1, (5, 0, 0, 0, 0)), "space 5"),
        ("x.aco", b"", "broken"),
        ("x.txt", b"hello", "cannot be read"),
        ("x.jpg", encoded(draw())[:200], "cannot be read"),
    ],
)
def test_broken_palettes_are_usage_errors(tmp_path, name, data, said):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UsageError, match=said) as caught:
        load_palette(str(path))
    assert "c8102e" in caught.value.hint


def test_hidden_pixels_of_a_picture_are_no_colors_of_its_palette(tmp_path):
    path = tmp_path / "logo.png"
    levels = np.zeros((600, 400, 4), np.uint8)
    levels[..., 0] = 255
    levels[200:400, 100:300] = (20, 40, 200, 255)
    Image.fromarray(levels).save(path)
    found = load_palette(str(path))
    (expected,) = load_palette("#1428c8").ab
    near = np.abs(found.ab - expected).max(axis=1) < 8
    assert found.shares[near].sum() > 0.95  # at its edges they are mixed
    levels[..., 3] = 0
    Image.fromarray(levels).save(path)
    with pytest.raises(UsageError, match="all of it is transparent"):
        load_palette(str(path))


def test_thin_opaque_strokes_are_a_palette(tmp_path):
    levels = np.zeros((2048, 2048, 4), np.uint8)
    levels[..., 2] = 255  # hidden blue
    for left in range(100, 2048, 200):
        levels[:, left : left + 3] = (200, 16, 46, 255)
    path = tmp_path / "strokes.png"
    Image.fromarray(levels).save(path)
    np.testing.assert_allclose(np.unique(load_palette(str(path)).ab, axis=0), [RED], atol=0.1)


def test_no_hidden_pixel_of_a_large_picture_colors_its_palette(tmp_path):
    levels = np.zeros((1500, 1500, 4), np.uint8)
    levels[::2] = (255, 0, 0, 255)
    levels[1::2] = (0, 0, 255, 120)
    path = tmp_path / "rows.png"
    Image.fromarray(levels).save(path)
    red = load_palette("#f00").ab
    np.testing.assert_allclose(np.unique(load_palette(str(path)).ab, axis=0), red, atol=0.1)


def test_random_bytes_are_no_palettes(tmp_path):
    random = np.random.default_rng(0)
    for number in range(150):
        data = bytearray((ase(*RGB), aco(2, *WORDS), GPL)[number % 3])
        for _ in range(3):
            data[random.integers(4, len(data))] = random.integers(256)
        path = tmp_path / ("x.ase", "x.aco", "x.gpl")[number % 3]
        path.write_bytes(data)
        try:
            palette = load_palette(str(path))
        except UsageError:
            continue
        assert np.isfinite(palette.ab).all()


@pytest.mark.parametrize(
    "text", ["missing.gpl", "#12", "#c8102e,rot", "#c8102e,,#123", "#", "\0", "reed", "red,"]
)
def test_what_is_no_palette_at_all(text):
    with pytest.raises(UsageError):
        load_palette(text)


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_text_is_neither_a_palette_nor_a_hint(text):
    with pytest.raises(UsageError, match="is not a palette"):
        load_palette(text)
    with pytest.raises(UsageError, match="is not a hint"):
        load_hints([text])


def test_colors():
    assert parse_color("#C8102e") == parse_color("c8102E") == (200, 16, 46)
    assert parse_color(" #123 ") == parse_color("123") == (17, 34, 51)
    assert parse_color("RebeccaPurple") == (102, 51, 153)
    assert parse_color("darkgrey") == parse_color("darkgray") == (169, 169, 169)
    for text in ("12", "#12345", "#ggg", "", "# 12", "##123", "#red", "rouge"):
        with pytest.raises(UsageError, match="not a color"):
            parse_color(text)


def test_a_color_keeps_its_name_after_pillow_has_used_it():
    Image.new("RGB", (1, 1), "orchid")  # Pillow then has numbers for it in place of a text
    assert parse_color("orchid") == (218, 112, 214)


def test_a_misspelt_color_gets_the_name_that_is_near():
    with pytest.raises(UsageError, match="'crimsn' is not a color") as caught:
        load_palette("gold,crimsn")
    assert "did you mean crimson?" in caught.value.hint
    assert "name a file" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "meant"),
    [("nori", "noir"), ("1960", "1960s"), ("Technicolour", "technicolor"), ("teal-orang", "teal-")],
)
def test_a_misspelt_palette_gets_the_name_that_is_near(text, meant):
    with pytest.raises(UsageError, match=f"the palette {text}: ") as caught:
        load_palette(text)
    assert caught.value.hint.startswith(f"did you mean {meant}")


@pytest.mark.parametrize(("text", "meant"), [("teal,ornage", "orange"), ("orang", "orange")])
def test_a_misspelt_color_is_taken_for_no_palette(text, meant):
    with pytest.raises(UsageError) as caught:
        load_palette(text)
    assert caught.value.hint.startswith(f"did you mean {meant}?")


@pytest.mark.parametrize(("load", "what"), [(load_palette, "palette"), (load_hints, "hints")])
def test_an_object_that_cannot_be_read_is_a_usage_error(load, what, monkeypatch):
    def fail(name):
        raise InputError("no credentials for s3://x were found", "sign in")

    monkeypatch.setattr(stores, "read", fail)
    wanted = f"cannot read the {what} s3://x/y.png: no credentials"
    with pytest.raises(UsageError, match=wanted) as caught:
        load("s3://x/y.png" if load is load_palette else ["s3://x/y.png"])
    assert caught.value.hint == "sign in"


def test_a_palette_of_names_is_that_of_their_numbers(tmp_path, monkeypatch):
    numbers = load_palette("#ff0000,#ffd700").ab
    for text in ("red,gold", "ff0000,ffd700", "Red, #FFD700"):
        np.testing.assert_array_equal(load_palette(text).ab, numbers)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gold").write_text(GPL.decode())  # a file counts more than its name
    assert len(load_palette("gold").ab) == len(load_palette(str(tmp_path / "gold")).ab) > 1


def scribble(size: tuple[int, int] = (200, 100), mode: str = "RGBA") -> bytes:
    pixels = np.zeros((*size, 4), np.uint8)
    pixels[20:22, 10:60] = (200, 16, 46, 255)
    pixels[150, 50:55] = (17, 34, 51, 200)
    pixels[100:110, 50:60] = (0, 255, 0, 100)  # too thin to count
    return encoded(np.asarray(Image.fromarray(pixels).convert(mode)), "PNG")


def test_hints_come_from_words_json_and_scribbles(tmp_path):
    (tmp_path / "h.json").write_text(json.dumps([{"x": 5, "y": 6.5, "color": "#123"}]))
    (tmp_path / "s.png").write_bytes(scribble())
    studio = {"picture": "0f", "hints": [{"x": 7, "y": 8, "color": "#c8102e"}], "strength": 2}
    (tmp_path / "studio.json").write_text(json.dumps(studio))
    names = [str(tmp_path / name) for name in ("h.json", "studio.json", "s.png")]
    hints = load_hints(["12,34,#c8102e", *names])
    red = (200, 16, 46)
    assert hints.points == (Hint(12, 34, red), Hint(5, 6.5, (17, 34, 51)), Hint(7, 8, red))
    (drawn,) = hints.scribbles
    assert drawn.size == ImageSize(200, 100)
    assert len(drawn.rows) == 2 * 50 + 5


@pytest.mark.parametrize("color", ["c8102e", "#C8102E", "crimson"])
def test_a_hint_takes_what_a_palette_takes(tmp_path, color):
    (tmp_path / "h.json").write_text(json.dumps([{"x": 5, "y": 6, "color": color}]))
    expected = (220, 20, 60) if color == "crimson" else (200, 16, 46)
    hints = load_hints([f"12,34,{color}", str(tmp_path / "h.json")])
    assert [hint.color for hint in hints.points] == [expected, expected]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_hints_and_palettes_are_read_in_every_encoding(tmp_path, encoding):
    text = json.dumps([{"x": 5, "y": 6.5, "color": "red"}], indent=1)
    (tmp_path / "h.json").write_bytes(text.encode(encoding))
    assert load_hints([str(tmp_path / "h.json")]).points == (Hint(5, 6.5, (255, 0, 0)),)
    (tmp_path / "p.gpl").write_bytes(GPL.decode().encode(encoding))
    (tmp_path / "q.gpl").write_bytes(GPL)
    encoded_so, as_ascii = (load_palette(str(tmp_path / name)).ab for name in ("p.gpl", "q.gpl"))
    np.testing.assert_array_equal(encoded_so, as_ascii)


@pytest.mark.parametrize("shape", [(200, 100), (400, 200), (50, 25)])
def test_constraints_lie_where_the_hints_are(tmp_path, shape):
    (tmp_path / "s.png").write_bytes(scribble())
    hints = Hints((Hint(0, 0, (17, 34, 51)),), load_hints([str(tmp_path / "s.png")]).scribbles)
    box = Letterbox.fit(ImageSize(*shape), 256)
    constraints = hints.constraints(box)
    assert constraints.fixed[0, box.left]  # the upper left corner
    np.testing.assert_array_equal(constraints.ab[0, box.left], NAVY)
    row, column = round(21 * 256 / 200), box.left + round(30 * 256 / 200)
    assert constraints.fixed[row, column]
    np.testing.assert_allclose(constraints.ab[row, column], RED, atol=0.1)
    assert not constraints.fixed[128:180].any()  # the faint one
    assert (constraints.ab[~constraints.fixed] == 0).all()


def test_of_two_hints_the_nearer_counts():
    box = Letterbox.fit(ImageSize(256, 256), 256)
    hints = Hints((Hint(100, 100, (200, 16, 46)), Hint(103, 100, (17, 34, 51))))
    constraints = hints.constraints(box)
    np.testing.assert_array_equal(constraints.ab[100, 101], RED)
    np.testing.assert_array_equal(constraints.ab[100, 102], NAVY)


def test_a_hint_has_a_radius_in_pixels_of_the_picture(tmp_path):
    box = Letterbox.fit(ImageSize(1024, 1024), 256)
    text = '[{"x": 512, "y": 512, "color": "#123", "radius": %s}]'

    def hinted(radius):
        (tmp_path / "h.json").write_text(text % radius)
        return int(load_hints([str(tmp_path / "h.json")]).constraints(box).fixed.sum())

    assert abs(hinted(100) - np.pi * 25**2) < 30
    assert 1 <= hinted(0.01) <= 4  # at least the pixel that it lies on
    (tmp_path / "h.json").write_text('[{"x": 512, "y": 512, "color": "#123"}]')
    usual = Hints((Hint(512, 512, "#123"),)).constraints(box).fixed.sum()
    assert load_hints([str(tmp_path / "h.json")]).constraints(box).fixed.sum() == usual


@pytest.mark.parametrize("place", [(100, 5), (5, 200), (1e9, 5), (float("nan"), 5)])
def test_a_hint_outside_the_picture_is_an_error_of_the_picture(place):
    box = Letterbox.fit(ImageSize(200, 100), 256)
    with pytest.raises(InputError, match="outside the picture, 100x200"):
        Hints((Hint(*place, (1, 2, 3)),)).constraints(box)


def test_a_scribble_of_another_shape_is_an_error_of_the_picture(tmp_path):
    (tmp_path / "s.png").write_bytes(scribble())
    hints = load_hints([str(tmp_path / "s.png")])
    with pytest.raises(InputError, match=r"100x200, has another shape than the picture, 120x200"):
        hints.constraints(Letterbox.fit(ImageSize(200, 120), 256))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[1, 2]", "no hints"),
        (b"[]", "list is empty"),
        (b'{"x": 1}', "no 'hints'"),
        (b'{"hints": 7}', "no hints"),
        (b'[{"x": 1, "y": 2}]', "color"),
        (b'[{"x": 1, "y": 2, "color": "rot"}]', "no hints: 'rot' is not a color"),
        ('[{"x": 1}]'.encode("utf-16"), "no 'y'"),
        (b'[{"x": 1, "y": "\xe9"}]', "UTF-8"),
        (b'[{"x": 1, "y": 2, "color": "#123", "radius": 0}]', "more than 0"),
        (b'[{"x": 1, "y": 2, "color": "#123", "radius": NaN}]', "more than 0"),
        (b'[{"x": 1, "y": 2, "color": "#123", "radius": []}]', "is no number"),
        (b'[{"x": 1, "y": 2, "color": 255}]', "the color 255 is no text"),
        (b'[{"x": "one", "y": 2, "color": "#123"}]', "one"),
        (b"[" * 100_000, "no hints: its brackets"),
        (b"[" + b"1" * 5000 + b"]", "no hints: its JSON is something else"),
        (b"[[1, 2, 3]]", "no hints: its JSON is something else"),
        (b'[{"x": null, "y": 2, "color": "#123"}]', "None is no number"),
        (b"hello", "cannot be read"),
        (scribble(mode="RGB"), "no transparency"),
        (encoded(np.zeros((9, 9, 4), np.uint8), "PNG"), "empty"),
    ],
)
def test_broken_hint_files_are_usage_errors(tmp_path, data, said):
    (tmp_path / "h").write_bytes(data)
    with pytest.raises(UsageError, match=said) as caught:
        load_hints([str(tmp_path / "h")])
    assert str(tmp_path / "h") in caught.value.message


def test_a_file_that_the_studio_saved_may_hold_no_hints(tmp_path):
    (tmp_path / "h").write_bytes(b'{"hints": []}')
    assert not load_hints([str(tmp_path / "h")]).points


def test_a_number_of_many_digits_lies_outside_the_picture(tmp_path):
    (tmp_path / "h").write_bytes(b'[{"x": ' + b"9" * 5000 + b', "y": 2, "color": "112233"}]')
    hints = load_hints([str(tmp_path / "h")])
    assert hints.points == (Hint(float("inf"), 2, (17, 34, 51)),)
    with pytest.raises(InputError, match="outside the picture"):
        hints.check_fit(ImageSize(100, 200))


@pytest.mark.parametrize(
    "text", ["1,2,#12", "1,#123", "-1,2,#123", "1,x,#123", "1,2,3,#123", "no", "1,2,rot", "1,2"]
)
def test_what_is_no_hint_at_all(text):
    with pytest.raises(UsageError):
        load_hints([text])


class Undecided(SpyNetwork):
    """A network that finds red and blue about as likely everywhere."""

    def distribution(self, lightness):
        bins = self.manifest.bins
        count, _, height, width = lightness.shape
        p = [np.exp(-np.square(bins.centers - ab).sum(1) / 200) for ab in ((50, 30), (0, -40))]
        p = np.log(0.6 * p[0] + 0.4 * p[1] + 1e-6).astype(np.float32)
        shape = (count, len(bins), height // 4, width // 4)
        logits = np.broadcast_to(p[None, :, None, None], shape).copy()
        return Distribution(logits, bins, np.full(count, 0.8, np.float32))


MIDDLE = np.full((96, 64, 3), 119, np.uint8)  # L* 50, where sRGB has all these colors


def test_a_hint_gets_its_color_and_lightness_stays(manifest):
    color = (150, 100, 40)
    hints = Hints((Hint(20, 30, color),))
    for strength in (1.0, 0.0):
        options = RecolorOptions(strength=strength, steering=Steering(hints=hints))
        result = Recolorizer(Undecided(manifest), options).recolor(MIDDLE)
        np.testing.assert_allclose(
            rgb_to_lab_cv2(result)[30, 20, 1:], levels_to_ab([color])[0], atol=1
        )
        np.testing.assert_allclose(rgb_to_lightness(result), rgb_to_lightness(MIDDLE), atol=0.6)


def test_a_palette_is_reached_through_the_factors_of_network_and_model(manifest):
    palette = load_palette("#406090")
    options = RecolorOptions(steering=Steering(palette, 1.0))
    result = Recolorizer(Undecided(manifest), options).recolor(MIDDLE)
    np.testing.assert_allclose(rgb_to_lab_cv2(result)[48, 32, 1:], palette.ab[0], atol=4)
    weak = RecolorOptions(steering=Steering(palette, 0.0))
    plain = Recolorizer(Undecided(manifest)).predict_distribution(MIDDLE).variants(1)[0]
    np.testing.assert_array_equal(Recolorizer(Undecided(manifest), weak).predict(MIDDLE), plain)


@pytest.mark.parametrize("shape", [(90, 60), (8, 8), (8, 700), (700, 8), (257, 256)])
def test_every_shape_can_be_steered(manifest, shape):
    steering = Steering(
        load_palette("#c8102e,#123"), 0.5, Hints((Hint(7, 7, (1, 2, 200)),)), seed=1
    )
    recolorizer = Recolorizer(Undecided(manifest), RecolorOptions(steering=steering))
    rgb = draw(*shape)
    answer = recolorizer.predict_distribution(rgb)
    for ab in answer.variants(3):
        assert recolorizer.paint(rgb, ab).shape == rgb.shape
    assert 1 < answer.uncertainty < np.log(394)
    assert answer.confidence_map().shape[1] == min(1024, shape[1])


def test_variants_are_of_the_strength_that_was_asked_for(manifest):
    for strength, least, most in ((0.0, 0, 1e-6), (1.0, 5, 80)):
        recolorizer = Recolorizer(Undecided(manifest), RecolorOptions(strength=strength))
        first, second = recolorizer.predict_distribution(draw()).variants(2)
        assert least <= np.abs(first - second).max() <= most


def test_a_network_without_a_distribution_cannot_be_steered(manifest):
    class OneColor:
        device = "cpu"

        def __init__(self):
            self.manifest = manifest

        def predict(self, lightness, temperature):
            raise AssertionError("not needed")

    with pytest.raises(ModelError, match="gives no choice of colors"):
        Recolorizer(OneColor()).predict_distribution(draw())


def test_logits_that_are_no_numbers_are_told(manifest):
    class Broken(Undecided):
        def distribution(self, lightness):
            found = super().distribution(lightness)
            found.logits[0, 0, 0, 0] = np.nan
            return found

    with pytest.raises(InferenceError, match="not a number"):
        Recolorizer(Broken(manifest)).predict_distribution(draw())


def test_the_strength_of_a_palette_has_limits():
    with pytest.raises(ValueError, match="palette_strength"):
        Steering(palette_strength=1.5)


@pytest.mark.parametrize("count", [0, MAX_VARIANTS + 1])
def test_so_many_variants_there_are_not(manifest, count):
    prediction = Recolorizer(Undecided(manifest)).predict_distribution(MIDDLE)
    with pytest.raises(ValueError, match="variants"):
        prediction.variants(count)
    with pytest.raises(ValueError, match="no variant"):
        Steering(pick=count)


def test_the_picked_variant_is_the_result(manifest):
    options = RecolorOptions(steering=Steering(pick=3, seed=2))
    recolorizer = Recolorizer(Undecided(manifest), options)
    wanted = recolorizer.predict_distribution(MIDDLE).variants(4)[2]
    np.testing.assert_array_equal(recolorizer.predict(MIDDLE), wanted)


def test_a_palette_has_a_name_unless_a_file_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(load_palette(" Modern ").ab, named_palette("modern").ab)
    (tmp_path / "teal-orange").mkdir()  # posters are often sorted into folders
    assert len(load_palette("teal-orange").ab) == 3
    (tmp_path / "modern").write_text("GIMP Palette\n255 0 0 red\n")
    assert len(load_palette("modern").ab) == 1
    with pytest.raises(UsageError) as caught:
        load_palette("1850s")
    assert "recolor palettes" in caught.value.hint
