"""Networks of the forms that others publish do all that ours do: films, 16 bits, ICC, batches."""

import threading
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from conftest import draw, encoded, names
from recolor_cli.color.lab import rgb_to_gray, rgb_to_lab_cv2, rgb_to_lightness
from recolor_cli.image.decode import decode
from recolor_cli.model.foreign_profile import ForeignProfile
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.model.registry import PROFILES
from recolor_cli.model.request_batcher import BatchedNetwork
from video_clips import decoded, make

# What the stand-ins answer for a middle gray, L* 53.6.
EXPECTED = {"eccv16": (18, -12), "ddcolor": (20, 15), "deoldify": None}
SIZES = {"eccv16": 256, "ddcolor": 256, "deoldify": 256}


def constant(name, values, shape):
    return helper.make_tensor(name, TensorProto.FLOAT, shape, values)


def write_stand_in(folder: Path, name: str) -> Path:
    """Write a small graph of a published form, and its own profile for it; return that."""
    channels = 1 if name == "eccv16" else 3
    outputs = 3 if name == "deoldify" else 2
    size = SIZES[name]
    if name == "deoldify":  # the gray picture, warmer, in 0..255, and much too dark
        nodes = [
            helper.make_node("Mul", ["input", "half"], ["dark"]),
            helper.make_node("Add", ["dark", "tint"], ["output"]),
        ]
        weights = [constant("half", [0.5], [1]), constant("tint", [40, 0, -20], [1, 3, 1, 1])]
    else:  # ab that hardly depends on the picture
        nodes = [
            helper.make_node("ReduceMean", ["input"], ["plane"], axes=[1], keepdims=1),
            helper.make_node("Mul", ["plane", "little"], ["small"]),
            helper.make_node("Add", ["small", "color"], ["output"]),
        ]
        weights = [constant("little", [1e-3], [1]), constant("color", EXPECTED[name], [1, 2, 1, 1])]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, channels, size, size])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, outputs, size, size])],
        weights,
    )
    opset = [helper.make_opsetid("", 12)]
    file = ForeignProfile.load(PROFILES[name]).file
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / file)
    profile = folder / f"{name}.toml"
    profile.write_bytes(PROFILES[name].read_bytes())
    return profile


def chroma_of_luma(level, tint):
    """Return ab of a gray that gets the U and V of a tint."""
    yuv = cv2.cvtColor(np.float32([[tint]]) / 255, cv2.COLOR_RGB2YUV)
    yuv[..., 0] = level / 255
    return rgb_to_lab_cv2(cv2.cvtColor(yuv, cv2.COLOR_YUV2RGB))[0, 0, 1:]


@pytest.fixture(params=EXPECTED)
def profile(request, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    return write_stand_in(folder, request.param)


def expected_ab(profile):
    if profile.stem == "deoldify":
        return chroma_of_luma(128, np.array([64 + 40, 64, 64 - 20]))
    return EXPECTED[profile.stem]


def gray(level=128, height=90, width=60):
    return np.full((height, width, 3), level, np.uint8)


def test_the_color_is_that_of_the_answer(recolor, profile, tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(gray(), "PNG"))
    recolor(tmp_path / "a.png", "-m", profile, "-o", tmp_path / "b.png", "--device", "cpu")
    rgb = decode((tmp_path / "b.png").read_bytes()).rgb
    lab = rgb_to_lab_cv2(rgb)
    np.testing.assert_allclose(lab[..., 1:].mean(axis=(0, 1)), expected_ab(profile), atol=1)
    assert np.abs(rgb_to_lightness(rgb) - rgb_to_lightness(gray())).max() < 1


def test_16_bits_and_a_color_profile(recolor, profile, tmp_path):
    levels = np.linspace(20_000, 40_000, 90 * 60).astype(np.uint16).reshape(90, 60)
    rgb16 = np.repeat(levels[..., None], 3, axis=2)
    icc = imagecodecs.cms_profile("adobergb")
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(rgb16))
    recolor(tmp_path / "a.png", "-m", profile, "-o", tmp_path / "b.png", "--device", "cpu")
    result = imagecodecs.png_decode((tmp_path / "b.png").read_bytes())
    assert result.dtype == np.uint16
    assert len(np.unique(result[..., 1])) > 256  # all levels, not those of bytes
    assert np.abs(rgb_to_lightness(result) - rgb_to_lightness(rgb16)).max() < 0.2
    (tmp_path / "c.jpg").write_bytes(encoded(gray(), "JPEG", icc_profile=icc))
    recolor(tmp_path / "c.jpg", "-m", profile, "-o", tmp_path / "d.jpg", "--icc", "source",
            "--device", "cpu")  # fmt: skip
    with Image.open(tmp_path / "d.jpg") as result:
        assert result.info["icc_profile"] == icc


def test_batches(recolor, profile, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(4):
        picture = encoded(rgb_to_gray(draw(seed=number)), "PNG")
        (tmp_path / "in" / f"{number}.png").write_bytes(picture)
    _, err = recolor(tmp_path / "in", "-m", profile, "-o", tmp_path / "out", "--device", "cpu",
                     "-j", 2)  # fmt: skip
    assert "4 written" in err
    assert names(tmp_path / "out") == [f"{number}.png" for number in range(4)]
    for number in range(4):
        rgb = decode((tmp_path / "out" / f"{number}.png").read_bytes()).rgb
        assert np.abs(rgb_to_lab_cv2(rgb)[..., 1:]).mean() > 3


def test_films(recolor, profile, tmp_path):
    film = make(tmp_path / "film.mkv", 3)
    recolor(film, "-m", profile, "-o", tmp_path / "new.mkv", "--device", "cpu")
    for _, (_, blue, red) in decoded(tmp_path / "new.mkv"):
        assert np.abs(blue.astype(int) - 128).mean() + np.abs(red.astype(int) - 128).mean() > 3


def test_many_threads_share_a_network_of_one_picture(profile):
    network = OnnxColorNetwork.load(profile, "cpu", threads=1)
    batched = BatchedNetwork(network, 16)
    size = network.manifest.size
    planes = [np.full((1, 1, size, size), level, np.float32) for level in (20, 40, 60, 80)]
    found = {}

    def ask(number):
        found[number] = batched.predict(planes[number], 0.38)

    threads = [threading.Thread(target=ask, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, plane in enumerate(planes):
        np.testing.assert_allclose(found[number], network.predict(plane, 0.38), atol=1e-3)
