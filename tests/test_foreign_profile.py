import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from skimage.color import rgb2lab
from torch import nn

from conftest import draw, encoded
from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.annealed_mean import annealed_mean
from recolor_cli.color.lab import rgb_to_gray, rgb_to_lab_cie, rgb_to_lab_cv2, rgb_to_lightness
from recolor_cli.errors import ModelError
from recolor_cli.model.foreign_profile import ForeignProfile, OutputKind
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.training.tracing import trace

GRAY = np.full((1, 1, 8, 8), 50, np.float32)  # L*, where the answer does not depend on it


def foreign_model(path, shape, element=TensorProto.FLOAT, outputs=("y",), inputs=("x",)):
    """Write somebody's ONNX file, which answers with its own input and knows no other size."""
    nodes = [helper.make_node("Identity", [inputs[0]], [name]) for name in outputs]
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info(name, element, shape) for name in inputs],
        [helper.make_tensor_value_info(name, element, shape) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, path)


def profile_at(folder, **values):
    values = {"file": "x.onnx", "size": 64, "answer": "ab"} | values
    lines = [
        f"{k} = {str(v).lower() if isinstance(v, bool) else repr(v)}" for k, v in values.items()
    ]
    path = folder / "theirs.toml"
    path.write_text("\n".join(lines))
    return path


def test_the_gray_picture_comes_back_as_gray(tmp_path):
    # In: gray sRGB as ImageNet networks want it; out: RGB, scaled the other way round.
    mean, spread = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    foreign_model(tmp_path / "x.onnx", [1, 3, 64, 64])
    path = profile_at(
        tmp_path, answer="rgb", gray_input=True, channels=3, offset=mean, scale=spread,
        answer_offset=mean, answer_scale=spread,
    )  # fmt: skip
    network = OnnxColorNetwork.load(path, "cpu")
    assert network.manifest.name == "theirs"
    rgb = draw()
    result = Recolorizer(network).recolor(rgb)
    assert np.abs(result.astype(int) - rgb_to_gray(rgb)).max() <= 1


def test_color_that_is_added_to_the_gray_picture_comes_out(tmp_path):
    foreign_model(tmp_path / "x.onnx", [1, 3, 64, 64])
    path = profile_at(
        tmp_path, answer="rgb", gray_input=True, channels=3, answer_offset=[0.1, 0.0, -0.1]
    )
    rgb = np.full((50, 40, 3), 128, np.uint8)
    ab = rgb_to_lab_cv2(Recolorizer(OnnxColorNetwork.load(path, "cpu")).recolor(rgb))[..., 1:]
    warm = np.array([[[0.602, 0.502, 0.402]]], np.float32)
    np.testing.assert_allclose(
        ab, np.broadcast_to(rgb_to_lab_cv2(warm)[..., 1:], ab.shape), atol=1.5
    )


def test_lightness_scaled_and_color_scaled_back(tmp_path):
    foreign_model(tmp_path / "x.onnx", [1, 64, 64, 1])  # would be refused: one channel is no ab
    path = profile_at(tmp_path, channels_last=True)
    with pytest.raises(ModelError, match="2 channels"):  # before the first picture
        OnnxColorNetwork.load(path, "cpu")
    profile = ForeignProfile(64, OutputKind.AB, offset=50.0, scale=100.0, answer_scale=110.0)
    lightness = np.full((1, 1, 64, 64), 75, np.float32)
    np.testing.assert_allclose(profile.prepare_input(lightness), 0.25)
    np.testing.assert_allclose(
        profile.convert_output(np.full((1, 2, 8, 8), 0.5), 0.38, lightness), 55
    )


def test_channels_last_both_ways():
    profile = ForeignProfile(64, OutputKind.AB, channels=3, channels_last=True)
    assert profile.prepare_input(np.zeros((2, 1, 4, 6), np.float32)).shape == (2, 4, 6, 3)
    answer = np.zeros((2, 4, 6, 2), np.float32)
    answer[..., 1] = 7
    ab = profile.convert_output(answer, 0.38, GRAY)
    assert ab.shape == (2, 2, 4, 6)
    assert (ab[:, 1] == 7).all()


def test_gray_input_is_the_srgb_value_of_that_lightness():
    rgb = rgb_to_gray(draw())
    tensor = ForeignProfile(64, OutputKind.AB, gray_input=True).prepare_input(
        rgb_to_lightness(rgb)[None, None]
    )
    np.testing.assert_allclose(tensor[0, 0] * 255, rgb[..., 1], atol=0.6)


def test_opencv_gray_is_what_opencv_makes_of_a_gray():
    gray = np.random.default_rng(0).uniform(0, 1, (1, 20_000, 1)).astype(np.float32)
    gray[0, :2, 0] = 0, 1
    rgb = gray.repeat(3, axis=2)
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab)
    lab[..., 1:] = 0
    expected = cv2.cvtColor(lab, cv2.COLOR_Lab2RGB)[..., 0]
    profile = ForeignProfile(64, OutputKind.AB, gray_input=True, opencv_gray=True)
    found = profile.prepare_input(rgb_to_lab_cie(rgb)[None, ..., 0])[0, 0]
    # A gray within rounding of the edge of a step may go either way.
    assert (np.abs(found - expected) < 1e-6).mean() > 0.999
    assert np.abs(found - expected).max() < 1 / 255
    assert np.abs(found - gray[..., 0]).max() > 0.4 / 255


def test_an_answer_in_rgb_gives_its_ab():
    rgb = draw()
    profile = ForeignProfile(64, OutputKind.RGB)
    answer = (rgb / 255).astype(np.float32).transpose(2, 0, 1)[None]
    ab = profile.convert_output(answer, 0.38, GRAY)
    # scikit-image's white is not quite that of its matrix.
    np.testing.assert_allclose(ab[0].transpose(1, 2, 0), rgb2lab(rgb)[..., 1:], atol=0.05)


def test_distributions_are_decoded_by_the_annealed_mean():
    logits = np.random.default_rng(0).normal(size=(1, 394, 3, 2)).astype(np.float32) * 3
    expected = annealed_mean(logits, AbBins.srgb(), 0.5)
    np.testing.assert_allclose(
        ForeignProfile(64, OutputKind.LOGITS).convert_output(logits, 0.5, GRAY), expected
    )
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ab = ForeignProfile(64, OutputKind.PROBABILITIES).convert_output(shares, 0.5, GRAY)
    np.testing.assert_allclose(ab, expected, atol=1e-2)


def test_a_network_in_half_precision(tmp_path):
    foreign_model(tmp_path / "x.onnx", [1, 3, 64, 64], TensorProto.FLOAT16)
    path = profile_at(tmp_path, answer="rgb", gray_input=True, channels=3)
    rgb = draw()
    result = Recolorizer(OnnxColorNetwork.load(path, "cpu")).recolor(rgb)
    assert np.abs(result.astype(int) - rgb_to_gray(rgb)).max() <= 2


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"answer": "hsv"}, "answer must be one of ab, rgb, logits, probabilities, not 'hsv'"),
        ({"sise": 3}, "unknown keys: sise"),
        ({"size": 1}, "size 1"),
        ({"stride": 60}, "no multiple of stride 60"),
        ({"bins": [[0, 0], [8, 0]]}, "bins mean nothing for ab"),
        ({"answer": "logits", "bins": [[0, 0], [8]]}, "pairs of a and b"),
        ({"answer": "logits", "bins": [["x", 0]]}, "bins must be of type float, not 'x'"),
        (
            {"answer": "logits", "bins": [3, 4]},
            r"bins must be of type tuple\[float, \.\.\.\], not 3",
        ),
        ({"other_sizes": [1]}, "other_sizes 1"),
        ({"white": 0}, "white must be positive"),
        ({"white": float("nan")}, "white must be positive"),
        ({"keep_luma": True}, "keep_luma means nothing for ab"),
        ({"opencv_gray": True}, "opencv_gray means nothing without gray_input"),
        ({"channels": 2}, "channels must be 1 or 3"),
        ({"scale": 0}, "scale must not be 0"),
        ({"scale": float("nan")}, "scale must be a number"),
        ({"answer_scale": 0.0}, "answer_scale must not be 0"),
        ({"answer": "logits", "answer_scale": 2.0}, "mean nothing for logits"),
        ({"size": 64.0}, "size must be of type int, not 64.0"),
        ({"file": 3}, "file must be of type str, not 3"),
        ({"gray_input": "false"}, "gray_input must be of type bool, not 'false'"),
        ({"pad_lightness": "x"}, "pad_lightness must be of type float, not 'x'"),
        ({"size": 32}, r"shape \[1, 2, 64, 64\], the profile makes \[1, 1, 32, 32\]"),
        ({"channels": 3}, r"the profile makes \[1, 3, 64, 64\]"),
        ({"offset": [1.0, 2.0]}, "offset must be"),
        ({"temperature": 0}, "temperature 0"),
        ({"temperature": 0.009}, "temperature 0.009"),
        ({"temperature": float("inf")}, "temperature inf"),
        ({"temperature": 11}, "temperature 11"),
        ({"pad_lightness": float("nan")}, "pad_lightness nan"),
        ({"pad_lightness": -1}, "pad_lightness -1"),
        ({"pad_lightness": 1000}, "pad_lightness 1000"),
        ({"size": 4104}, "size 4104"),
        ({"source": "ftp://models.example/x.onnx"}, "source must be an address"),
        ({"sha256": "abc"}, "sha256 must be 64"),
        ({"file": "gone.onnx"}, r"gone\.onnx, which is not there"),
        ({"output": "z"}, "output must be one of y"),
    ],
)
def test_profiles_that_cannot_work_are_refused(tmp_path, values, words):
    foreign_model(tmp_path / "x.onnx", [1, 2, 64, 64])
    with pytest.raises(ModelError, match=words):
        OnnxColorNetwork.load(profile_at(tmp_path, **values), "cpu")


def test_a_stride_needs_a_graph_of_free_sizes():
    profile = ForeignProfile(64, OutputKind.AB, stride=32)
    assert profile.to_manifest("x").stride == 32
    assert "no room for a stride" in profile.find_mismatch([1, 1, 64, 64], "tensor(float)")
    assert not profile.find_mismatch([1, 1, "H", None], "tensor(float)")


@pytest.mark.parametrize(
    ("values", "shape", "size"),
    [
        ({}, [1, 1, 64, 64], 64),
        ({"other_sizes": (32, 96)}, [1, 1, 96, 96], 96),
        ({"other_sizes": (32, 96)}, [1, 1, "H", "W"], 64),
        ({"stride": 16}, [1, 1, 48, 48], 48),
        ({"stride": 16}, ["N", 1, None, None], 64),
        ({"other_sizes": (96,), "channels_last": True}, [1, 96, 96, 1], 96),
    ],
)
def test_a_graph_of_one_size_has_its_say(values, shape, size):
    profile = ForeignProfile(64, OutputKind.AB, **values).fit_size(shape)
    assert (profile.size, profile.to_manifest("x").size) == (size, size)
    assert not profile.find_mismatch(shape, "tensor(float)")


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        ({}, [1, 1, 96, 96]),
        ({"other_sizes": (32,)}, [1, 1, 96, 96]),
        ({"other_sizes": (96,)}, [1, 1, 96, 64]),
        ({"stride": 32}, [1, 1, 48, 48]),
        ({"other_sizes": (96,)}, [1, 96]),
    ],
)
def test_a_graph_of_no_such_size_is_told(values, shape):
    profile = ForeignProfile(64, OutputKind.AB, **values).fit_size(shape)
    assert profile.size == 64
    assert "has the shape" in profile.find_mismatch(shape, "tensor(float)")


def test_files_of_several_sizes_run_by_one_profile(tmp_path):
    path = profile_at(tmp_path, answer="rgb", gray_input=True, channels=3, other_sizes=[32, 96])
    rgb = draw()
    for size in (32, 64, 96):
        foreign_model(tmp_path / "x.onnx", [1, 3, size, size])
        network = OnnxColorNetwork.load(path, "cpu")
        assert network.manifest.size == size
        result = Recolorizer(network).recolor(rgb)
        assert np.abs(result.astype(int) - rgb_to_gray(rgb)).max() <= 1


def test_levels_of_bytes_in_and_out(tmp_path):
    foreign_model(tmp_path / "x.onnx", [1, 3, 64, 64])
    values = {"answer": "rgb", "gray_input": True, "channels": 3, "white": 255}
    profile = ForeignProfile.load(profile_at(tmp_path, **values))
    white = profile.prepare_input(np.full((1, 1, 8, 8), 100, np.float32))
    np.testing.assert_allclose(white, 255, rtol=1e-5)
    orange = np.full((1, 3, 8, 8), 255, np.float32) * np.array([[[[1.0]], [[0.5]], [[0.0]]]])
    ab = profile.convert_output(orange, 0.38, GRAY)
    expected = rgb2lab(np.array([[[1.0, 0.5, 0.0]]]))[0, 0, 1:]
    np.testing.assert_allclose(ab[0, :, 0, 0], expected, atol=0.05)
    rgb = draw()
    result = Recolorizer(OnnxColorNetwork.load(tmp_path / "theirs.toml", "cpu")).recolor(rgb)
    assert np.abs(result.astype(int) - rgb_to_gray(rgb)).max() <= 1


def test_only_the_chroma_of_an_answer_counts():
    gray = rgb_to_gray(draw())
    lightness = rgb_to_lightness(gray)[None, None]
    profile = ForeignProfile(64, OutputKind.RGB, keep_luma=True)
    # Darker than the picture everywhere, with some color.
    answer = np.random.default_rng(0).uniform(0.1, 0.4, (*gray.shape[:2], 3)).astype(np.float32)
    ab = profile.convert_output(answer.transpose(2, 0, 1)[None], 0.38, lightness)
    # As DeOldify does it: Y' of the picture, U and V of the answer.
    yuv = cv2.cvtColor(answer, cv2.COLOR_RGB2YUV)
    yuv[..., 0] = gray[..., 0] / np.float32(255)
    expected = rgb2lab(np.clip(cv2.cvtColor(yuv, cv2.COLOR_YUV2RGB), 0, 1))[..., 1:]
    np.testing.assert_allclose(ab[0].transpose(1, 2, 0), expected, atol=0.6)
    assert np.abs(ab).max() > 20


def test_a_coarser_answer_has_no_luma_to_replace():
    profile = ForeignProfile(64, OutputKind.RGB, keep_luma=True)
    with pytest.raises(ModelError, match="not the size of its input, as keep_luma needs"):
        profile.convert_output(np.zeros((1, 3, 4, 4), np.float32), 0.38, GRAY)


class _Counted(nn.Module):
    """ab from L*; baked: it was traced with one picture, and gives the first one's answer."""

    def __init__(self, baked):
        super().__init__()
        self.baked = baked

    def forward(self, x):
        x = (x[:1].expand_as(x) if self.baked else x) - 50
        return torch.cat((x, -x), dim=1)


@pytest.mark.parametrize(
    ("baked", "count", "several"), [(False, "N", True), (True, "N", False), (False, 1, False)]
)
def test_pictures_together_get_the_color_that_each_gets_alone(tmp_path, baked, count, several):
    free = {"x": {0: "N"}} if count == "N" else {}
    model = trace(_Counted(baked).eval(), {"x": torch.zeros(1, 1, 64, 64)}, ["y"], free)
    onnx.save(model, tmp_path / "x.onnx")
    network = OnnxColorNetwork.load(profile_at(tmp_path), "cpu")
    lightness = np.random.default_rng(0).uniform(0, 100, (3, 1, 64, 64)).astype(np.float32)
    ab = network.predict(lightness, 0.38)
    np.testing.assert_allclose(
        ab, np.concatenate((lightness - 50, 50 - lightness), axis=1), atol=1e-4
    )
    assert network.takes_several() is several


def test_a_graph_of_whole_numbers_is_refused(tmp_path):
    foreign_model(tmp_path / "x.onnx", [1, 1, 64, 64], TensorProto.UINT8)
    with pytest.raises(ModelError, match=r"tensor\(uint8\)"):
        OnnxColorNetwork.load(profile_at(tmp_path), "cpu")


def test_files_that_are_no_profiles_are_refused(tmp_path):
    for content in (b"", b"file =", b"\xff\xfe", b"size = 3"):
        (tmp_path / "x.toml").write_bytes(content)
        with pytest.raises(ModelError, match=r"x\.toml"):
            OnnxColorNetwork.load(tmp_path / "x.toml", "cpu")
    with pytest.raises(ModelError, match="no model file"):
        OnnxColorNetwork.load(tmp_path / "gone.toml", "cpu")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"])
def test_profiles_as_windows_writes_them(tmp_path, encoding):
    text = 'size = 64\r\nanswer = "ab"\r\ndata = "Gemälde"\r\n'
    bom = "\ufeff" if encoding.startswith("utf-16") else ""
    (tmp_path / "x.toml").write_bytes((bom + text).encode(encoding))
    assert ForeignProfile.load(tmp_path / "x.toml") == ForeignProfile(
        64, OutputKind.AB, data="Gemälde"
    )


def test_several_inputs_or_outputs_are_told_by_name(tmp_path):
    rgb = {"answer": "rgb", "channels": 3, "gray_input": True}
    foreign_model(tmp_path / "x.onnx", [1, 3, 64, 64], outputs=("y", "z"))
    with pytest.raises(ModelError, match="output must be one of y, z"):
        OnnxColorNetwork.load(profile_at(tmp_path, **rgb), "cpu")
    OnnxColorNetwork.load(profile_at(tmp_path, **rgb, output="z"), "cpu")
    foreign_model(tmp_path / "x.onnx", [1, 1, 64, 64], inputs=("x", "embedding"))
    with pytest.raises(ModelError, match=r"2 inputs \(x, embedding\)"):
        OnnxColorNetwork.load(profile_at(tmp_path), "cpu")


def test_the_command_runs_and_measures_it(recolor, tmp_path):
    foreign_model(tmp_path / "x.onnx", [1, 3, 64, 64])
    path = profile_at(tmp_path, answer="rgb", gray_input=True, channels=3)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(2):
        (pictures / f"{i}.png").write_bytes(encoded(draw(seed=i), "PNG"))
    recolor(pictures / "0.png", "-m", path, "-o", tmp_path / "new.png", "--device", "cpu")
    assert (tmp_path / "new.png").is_file()
    out, _ = recolor("evaluate", pictures, "-m", path, "--device", "cpu")
    assert out.decode().split("\n")[0].split() == ["truth", "gray", "prior", "mean", "theirs"]
