"""The public API: docs/library.md, imports that change nothing, and the names that are there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import recolor_cli
from conftest import draw, encoded
from recolor_cli import (
    Hint,
    Hints,
    InputError,
    Palette,
    Recolorizer,
    RecolorOptions,
    Steering,
    UsageError,
)

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/library.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def examples(text: str) -> str:
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("poster.jpg", "other.jpg")):
        Path(name).write_bytes(encoded(draw(300, 200, seed=seed)))
    Path("hints.json").write_text(json.dumps([{"x": 20, "y": 30, "color": "red"}]))
    return tmp_path


@pytest.mark.parametrize("text", [PAGE, README], ids=["library.md", "README.md"])
def test_the_examples_of_the_docs_run(folder, text):
    code = examples(text)
    assert code.count("recolor(") >= 1
    exec(compile(code, "docs", "exec"), {})


def test_the_page_imports_from_the_package_alone_and_names_all_of_it():
    modules = re.findall(r"^(?:from|import) (recolor_cli\S*)", examples(PAGE), re.MULTILINE)
    assert set(modules) == {"recolor_cli"}
    for name in recolor_cli.__all__:
        assert f"`{name}" in PAGE or re.search(rf"\b{name}\b", examples(PAGE)), name


def test_the_public_names_are_there():
    for name in recolor_cli.__all__:
        assert getattr(recolor_cli, name).__name__ == name
        assert name in dir(recolor_cli)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = recolor_cli.Nothing


STATE = """
import gc, locale, logging, os, random, signal, sys, threading, warnings

def state():
    import cv2, numpy, tifffile
    from PIL import Image, ImageFile
    return {
        "limit of pixels": Image.MAX_IMAGE_PIXELS,
        "truncated": ImageFile.LOAD_TRUNCATED_IMAGES,
        "cv2 threads": cv2.getNumThreads(),
        "numpy errors": numpy.geterr(),
        "numpy random": numpy.random.get_state()[1][:4].tolist(),
        "warnings": list(warnings.filters),
        # The variable of `test_nothing_is_reported` appears with the first network.
        "environment": {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"},
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "handlers": list(logging.root.handlers),
        "levels": [logging.getLogger(name).level for name in ("", "PIL", "tifffile", "cv2")],
        "locale": locale.setlocale(locale.LC_ALL),
        "random": random.getstate(),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook),
        "path": list(sys.path),
        "threads": [thread.name for thread in threading.enumerate()],
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "recursion": sys.getrecursionlimit(),
        "gc": gc.get_threshold(),
    }

before = state()
"""
CHECK = "\nafter = state()\nprint([key for key in before if before[key] != after[key]])"


@pytest.mark.parametrize(
    "code",
    [
        "import recolor_cli",
        "from recolor_cli import *",
        "from recolor_cli import Recolorizer\nimport numpy\n"
        "Recolorizer(device='cpu').recolor(numpy.zeros((40, 30), numpy.uint8))",
    ],
)
def test_a_host_stays_as_it_was(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{STATE}\n{code}\n{CHECK}"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout == "[]\n"
    assert done.stderr == ""


@pytest.mark.parametrize(
    "code",
    [
        "import numpy\nfrom recolor_cli import Recolorizer\n"
        "Recolorizer(device='cpu').recolor(numpy.zeros((40, 30), numpy.uint8))",
        "import recolor_cli.training.compression.int8, onnxruntime\n"
        "from recolor_cli.model.model_files import find_files\n"
        "onnxruntime.InferenceSession(str(find_files('poster', 8).graph))",
    ],
)
def test_nothing_is_reported(tmp_path, code):
    # ONNX Runtime stays silent by itself where it finds the variables of tests and CIs.
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    environment = kept | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # Else there is an identifier of this machine, and what waits to be sent.
    assert list(tmp_path.iterdir()) == []


def test_the_import_alone_loads_nothing_large():
    code = (
        "import sys, recolor_cli; print(sorted({'numpy', 'cv2', 'PIL', 'click'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "[]\n"


def test_colors_of_hints_and_palettes_are_texts_or_levels():
    assert Hint(1, 2, "gold") == Hint(1, 2, (255, 215, 0))
    assert len(Palette.of_colors(["#c8102e", "gold"]).ab) == 2
    assert len(Hints([Hint(1, 2, "#123")]).points) == 1
    with pytest.raises(UsageError, match="'glod' is not a color"):
        Hint(1, 2, "glod")
    assert Hint(1, 2, np.uint8([9, 8, 7])).levels[2] == 7
    for wrong in ((300, 0, 0), (1, 2, 3, 4), (1, 2), (), (0.5, 0.2, 0.3), None):
        with pytest.raises(ValueError, match=f"0..255, not {re.escape(str(wrong))}"):
            Hint(1, 2, wrong)
    with pytest.raises(ValueError, match="at least one color"):
        Palette.of_colors([])


def test_a_palette_is_taken_of_pictures_of_8_and_16_bits():
    rgb = draw(90, 60)
    expected = Palette.of_picture(rgb).ab
    for dtype in ("<u2", ">u2"):
        wide = (rgb.astype(np.uint16) * 257).astype(dtype)
        np.testing.assert_array_equal(Palette.of_picture(wide).ab, expected)
    for other, found in (
        (rgb / 255, "float64"),
        (rgb[..., 0], r"uint8 \(90, 60\)"),
        (rgb[:0], r"uint8 \(0,"),
    ):
        with pytest.raises(ValueError, match=f"not of {found}"):
            Palette.of_picture(other)


@pytest.mark.parametrize(
    ("mask", "error"),
    [
        (np.ones((4, 4), bool), ValueError),
        (np.zeros((4, 4, 3), np.uint8), ValueError),
        (Image.new("L", (4, 4)), TypeError),
    ],
)
def test_a_mask_of_another_kind_is_refused(mask, error):
    with pytest.raises(error, match="uint8 array"):
        RecolorOptions(mask=mask)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Steering(palette="1950s"), r"use load_palette\('1950s'\)"),
        (lambda: Steering(hints=[Hint(1, 2, "red")]), r"not list; use Hints\(\["),
        (lambda: RecolorOptions(steering=Hints([])), r"not Hints; use Steering\("),
        (lambda: Recolorizer(None), "not NoneType"),
        (lambda: Recolorizer(b"poster"), "not bytes"),
    ],
)
def test_arguments_of_another_type_are_refused_with_the_right_call(wrong, said):
    with pytest.raises(TypeError, match=said):
        wrong()


@pytest.fixture(scope="module")
def recolorizer():
    return Recolorizer("poster", device="cpu")


def test_the_device_is_checked():
    with pytest.raises(UsageError, match="no device gpu"):
        Recolorizer("poster", device="gpu")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_is_recolored_as_rgb_of_three_equal_channels(recolorizer, dtype):
    gray = draw(90, 60)[..., 1].astype(dtype) * (np.iinfo(dtype).max // 255)
    expected = recolorizer.recolor(np.dstack([gray] * 3))
    for same in (gray, gray[..., None], gray.astype(gray.dtype.newbyteorder(">"))):
        result = recolorizer.recolor(same)
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, expected)
    turned = np.asfortranarray(np.dstack([gray] * 3))
    np.testing.assert_array_equal(recolorizer.recolor(turned[..., ::-1]), expected)


def test_a_result_takes_the_place_of_its_picture(recolorizer):
    rgb = draw(90, 60)
    expected = recolorizer.recolor(rgb)
    for picture in (rgb.copy(), np.asfortranarray(rgb), np.dstack((rgb, rgb))[..., :3]):
        assert recolorizer.recolor(picture, in_place=True) is picture
        np.testing.assert_array_equal(picture, expected)
    locked = rgb.copy()
    locked.flags.writeable = False
    np.testing.assert_array_equal(recolorizer.recolor(locked), expected)
    for unfit in (locked, rgb[..., 0].copy(), Image.fromarray(rgb)):
        with pytest.raises(ValueError, match="in_place needs an array"):
            recolorizer.recolor(unfit, in_place=True)


@pytest.mark.parametrize(
    ("mode", "result"),
    [
        ("1", "RGB"), ("L", "RGB"), ("P", "RGB"), ("RGB", "RGB"), ("CMYK", "RGB"), ("YCbCr", "RGB"),
        ("HSV", "RGB"), ("I;16", "RGB"), ("LA", "RGBA"), ("RGBA", "RGBA"), ("PA", "RGBA"),
        ("La", "RGBA"), ("RGBa", "RGBA"),
    ],
)  # fmt: skip
def test_a_picture_of_pillows_stays_one(recolorizer, mode, result):
    rgb = Image.fromarray(draw(90, 60))
    through = {"I;16": "L", "PA": "L", "La": "LA", "RGBa": "RGBA"}.get(mode, "RGB")
    picture = rgb.convert(through).convert(mode)
    if mode in ("LA", "RGBA"):
        picture.putalpha(77)
    picture.info["dpi"] = (300, 300)
    new = recolorizer.recolor(picture)
    assert (new.mode, new.size, new.info["dpi"]) == (result, (60, 90), (300, 300))
    if mode in ("LA", "RGBA"):
        assert new.getchannel("A").getextrema() == (77, 77)
    if mode == "RGB":
        np.testing.assert_array_equal(np.asarray(new), recolorizer.recolor(draw(90, 60)))


def test_the_result_of_a_fax_can_be_saved_as_its_source_was(recolorizer, tmp_path):
    Image.fromarray(draw(90, 60)).convert("1").save(tmp_path / "fax.tif", compression="group4")
    with Image.open(tmp_path / "fax.tif") as fax:
        recolorizer.recolor(fax).save(tmp_path / "new.tif")


def test_the_result_of_a_tiff_keeps_its_compression(recolorizer, tmp_path):
    Image.fromarray(draw(90, 60)).save(tmp_path / "old.tif", compression="tiff_lzw")
    with Image.open(tmp_path / "old.tif") as old:
        recolorizer.recolor(old).save(tmp_path / "new.tif")
    with Image.open(tmp_path / "new.tif") as new:
        assert new.info["compression"] == "tiff_lzw"


def test_a_profile_of_pillows_picture_is_applied(recolorizer):
    from PIL import ImageCms

    wide = Image.fromarray(draw(90, 60))
    wide.info["icc_profile"] = recolor_profile = ImageCms.ImageCmsProfile(
        ImageCms.createProfile("sRGB")
    ).tobytes()
    new = recolorizer.recolor(wide)
    assert recolor_profile
    assert "icc_profile" not in new.info
    np.testing.assert_array_equal(np.asarray(new), recolorizer.recolor(draw(90, 60)))


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (np.zeros((40, 40)), r"float64; of 0\.\.1, use"),
        (np.zeros((40, 40), bool), "bool; multiply"),
        (np.zeros((40, 40), np.int64), "int64; use levels.astype"),
        (np.zeros((40, 40, 4), np.uint8), "opacity out"),
        (np.zeros((3, 40, 40), np.uint8), "channels come last"),
        (np.zeros((2, 40, 40, 3), np.uint8), "not \\(2, 40, 40, 3\\)"),
        (np.zeros(40, np.uint8), "not \\(40,\\)"),
        (np.array([["a"]]), "uint8 or uint16"),
        (Image.new("F", (40, 40)), "mode F"),
        (Image.new("I", (40, 40)), "mode I"),
        (Image.new("LAB", (40, 40)), "mode LAB"),
    ],
)
def test_what_cannot_be_recolored_says_why(recolorizer, picture, said):
    with pytest.raises(ValueError, match=said):
        recolorizer.recolor(picture)


@pytest.mark.parametrize(
    ("picture", "said"),
    [("a.jpg", "PIL.Image.open"), (Path("a.jpg"), "PIL.Image.open"), ([[1]], "not list"),
     (None, "not NoneType"), (b"x", "PIL.Image.open")],
)  # fmt: skip
def test_what_is_no_picture_at_all(recolorizer, picture, said):
    with pytest.raises(TypeError, match=said):
        recolorizer.recolor(picture)


@pytest.mark.parametrize("shape", [(0, 0), (7, 100), (100, 7, 3), (0, 5, 3)])
def test_a_picture_that_is_too_small(recolorizer, shape):
    with pytest.raises(InputError, match="too few"):
        recolorizer.recolor(np.zeros(shape, np.uint8))


def test_a_file_that_pillow_cannot_decode(recolorizer, tmp_path):
    data = encoded(draw())
    (tmp_path / "x.jpg").write_bytes(data[: len(data) * 2 // 3])
    with Image.open(tmp_path / "x.jpg") as picture, pytest.raises(InputError, match="damaged"):
        recolorizer.recolor(picture)


def test_variants_are_of_the_kind_of_the_picture(recolorizer):
    gray = draw(90, 60)[..., 1]
    first, second = recolorizer.variants(gray, 2)
    np.testing.assert_array_equal(first, recolorizer.recolor(gray))
    assert not np.array_equal(first, second)
    pictures = recolorizer.variants(Image.fromarray(gray), 2)
    np.testing.assert_array_equal(np.asarray(pictures[1]), second)
    with pytest.raises(ValueError, match="variants"):
        recolorizer.variants(gray, 17)
