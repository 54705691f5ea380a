"""Options are checked before results that exist are skipped, and without loading a network."""

import ctypes
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from conftest import draw, encoded
from recolor_cli.errors import ModelError
from recolor_cli.image.decode import decode_pages
from recolor_cli.image.probe import probe
from recolor_cli.model.model_files import read_properties
from recolor_cli.model.registry import available_models
from recolor_cli.system import device
from recolor_cli.system.device import why_no_card
from recolor_cli.types import ImageSize
from video_clips import make


@pytest.fixture
def done(tmp_path, monkeypatch):
    """Change into a folder with a picture and a film whose results exist."""
    monkeypatch.chdir(tmp_path)
    Path("a.jpg").write_bytes(encoded(draw(90, 60)))
    make(tmp_path / "b.mp4", 2)
    for name in ("a-recolored.jpg", "b-recolored.mp4", "b-part.mp4"):
        Path(name).write_bytes(b"there")
    Path("text.onnx").write_text("once upon a time")
    Path("half.onnx").write_bytes(available_models()["fruitnet"].read_bytes()[:100_000])
    Path("theirs.toml").write_text('file = "gone.onnx"')
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["-m", "nope"], 4, "no model is called nope"),
        (["-m", "nope.onnx"], 4, "no model file nope.onnx"),
        (["-m", "text.onnx"], 4, "text.onnx cannot be loaded as a model"),
        (["-m", "half.onnx"], 4, "half.onnx cannot be loaded as a model"),
        (["-m", "theirs.toml"], 4, "theirs.toml"),
        (["--device", "cdua"], 2, "there is no device cdua"),
        (["--device", ""], 2, "there is no device ''"),
        (["--device", "cuda"], 5, "no"),
    ],
)
@pytest.mark.parametrize("inputs", [["a.jpg"], ["b.mp4"], ["a.jpg", "-n"], ["b.mp4", "-n"]])
def test_a_model_and_a_device_are_looked_at_although_all_is_done(
    recolor, done, monkeypatch, inputs, flags, code, said
):
    monkeypatch.setattr(device, "_DRIVER", "libnone.so")
    out, err = recolor(*inputs, *flags, exit_code=code)
    assert out == b""
    assert err.count("error: ") == 1
    assert said in err
    assert "hint: " in err


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["-m", "fruitnet", "--palette", "#123"], 4, "fruitnet gives no choice of colors"),
        (["-m", "colorunet", "--hint", "1,2,#123"], 4, "colorunet gives no choice of colors"),
        (["-m", "fruitnet", "--confidence"], 4, "fruitnet gives no choice of colors"),
        (["--hint", "60,5,#123"], 1, "the hint 60,5 lies outside the picture, 60x90"),
        (["--hint", "5,90,#123", "-n"], 1, "the hint 5,90 lies outside the picture, 60x90"),
        (["--hint", "wide.png"], 1, "the drawing wide.png, 90x60, has another shape"),
        (["--mask", "wide.png"], 1, "the mask, 90x60, has another shape"),
        (["--mask", "gone.png"], 2, "--mask gone.png: no such file"),
        (["--palette", "gone.gpl"], 2, "cannot read the palette gone.gpl"),
        (["--hint", "5,5,#12"], 2, "not a color"),
    ],
)
def test_options_of_pictures_are_looked_at_although_all_is_done(recolor, done, flags, code, said):
    Image.fromarray(np.full((60, 90, 4), 255, np.uint8)).save("wide.png")
    if "--confidence" in flags:
        Path("a-recolored-confidence.jpg").write_bytes(b"there")
    _, err = recolor("a.jpg", *flags, exit_code=code)
    assert said in err
    assert Path("a-recolored.jpg").read_bytes() == b"there"
    if code == 1:
        out, _ = recolor("a.jpg", *flags, "--json", exit_code=1)
        assert json.loads(out)["status"] == "failed"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--encoder-option", "prest=slow"], "libx264 has no option prest"),
        (["--encoder-option", "preset=slowest"], "libx264 does not take"),
        (["--encoder-option", "ref=x", "--codec", "hevc"], "libx265"),
        (["--codec", "h265"], "there is no encoder h265"),
        (["--codec", "ffv1", "--crf", "3"], "ffv1 has no --crf"),
    ],
)
def test_options_of_encoders_are_looked_at_although_all_is_done(recolor, done, flags, said):
    _, err = recolor("b.mp4", *flags, exit_code=2)
    assert said in err
    _, err = recolor("b.mp4", "--encoder-option", "preset=slow")
    assert "exists, skipped" in err


def test_overlays_of_films_are_looked_at_although_all_is_done(recolor, done):
    Image.fromarray(np.full((60, 20), 255, np.uint8)).save("thin.png")
    Image.fromarray(np.full((30, 40), 255, np.uint8)).save("fits.png")
    _, err = recolor("b.mp4", "--mask", "thin.png", exit_code=1)
    assert "the mask, 20x60, has another shape than the film, 64x48" in err
    _, err = recolor("b.mp4", "--reference", "0=thin.png", exit_code=1)
    assert "has another shape than the film, 64x48" in err
    _, err = recolor("b.mp4", "--mask", "fits.png")
    assert "exists, skipped" in err
    _, err = recolor("b.mp4", "--palette", "#123", "-m", "fruitnet", exit_code=4)
    assert "fruitnet gives no choice of colors" in err


def test_hints_and_masks_that_fit_are_skipped_in_all_orientations(recolor, done):
    exif = Image.Exif()
    exif[0x0112] = 6  # displayed, it is 90 wide and 60 high
    Path("a.jpg").write_bytes(encoded(draw(90, 60), exif=exif))
    Image.fromarray(np.full((60, 90), 255, np.uint8)).save("wide.png")
    _, err = recolor("a.jpg", "--hint", "89,59,#123", "--mask", "wide.png")
    assert "exists, skipped" in err
    recolor("a.jpg", "--hint", "5,89,#123", exit_code=1)


@pytest.mark.parametrize(
    "suffix", ["jpg", "png", "tif", "webp", "avif", "jp2", "gif", "bmp", "ppm"]
)
def test_a_header_has_the_size_of_the_first_page(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(draw(40, 30)).save(path)
    size = probe(path.read_bytes()).displayed_size()
    assert size == ImageSize(height=40, width=30)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "avif"])
def test_a_header_has_the_size_as_displayed(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(draw(40, 30)).save(path, exif=exif)
    header = probe(path.read_bytes())
    (page,) = decode_pages(path.read_bytes())
    assert page.size == header.displayed_size() == ImageSize(height=30, width=40)


def test_a_header_is_read_without_a_pixel(monkeypatch):
    """Of a PNG whose EXIF stands behind its pixels, too."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(draw(40, 30), "PNG", exif=exif)
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4])
    late = data[:start] + data[end:-12] + data[start:end] + data[-12:]
    (page,) = decode_pages(late)
    assert page.size == ImageSize(height=30, width=40)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", None)
    assert probe(late).displayed_size() == page.size
    assert probe(encoded(draw(40, 30), "PNG")).displayed_size() == ImageSize(40, 30)


def test_a_run_with_nothing_to_do_loads_no_network(done):
    code = (
        "import sys; from recolor_cli.cli import main\n"
        "code = main(['a.jpg', '--palette', '#123'])\n"
        "sys.exit(code or any(name in sys.modules for name in ('onnxruntime', 'tifffile')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", sorted(available_models()))
def test_properties_are_read_as_the_library_reads_them(name):
    import onnxruntime

    path = available_models()[name]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    assert read_properties(path) == session.get_modelmeta().custom_metadata_map


def test_bytes_that_are_no_model_are_told_as_such(tmp_path):
    random = np.random.default_rng(0)
    good = available_models()["fruitnet"].read_bytes()
    path = tmp_path / "x.onnx"
    path.write_bytes(good)
    assert read_properties(path)
    cut = [good[: random.integers(len(good))] for _ in range(100)]
    noise = [random.bytes(random.integers(200)) for _ in range(300)]
    for data in (b"", *cut, *noise):
        path.write_bytes(data)
        with pytest.raises(ModelError, match="cannot be loaded as a model"):
            read_properties(path)
    with pytest.raises(ModelError, match="cannot be read"):
        read_properties(tmp_path)


def test_a_card_that_is_not_there(monkeypatch):
    class Driver:
        answer = 0

        def __init__(self, name):
            pass

        def cuInit(self, flags):
            return self.answer

        def cuDeviceGetCount(self, count):
            count._obj.value = 2
            return 0

    monkeypatch.setattr(ctypes, "CDLL", Driver)
    assert (why_no_card(0), why_no_card(1)) == ("", "")
    assert why_no_card(2) == "there is no card 2; there are 2, counted from 0"
    Driver.answer = 100
    assert "finds no card" in why_no_card(0)
