import os
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import recolor_cli
from conftest import draw
from recolor_cli.color.annealed_mean import annealed_mean
from recolor_cli.color.lab import rgb_to_lightness
from recolor_cli.errors import InferenceError, ModelError
from recolor_cli.image.decode import decode
from recolor_cli.model.onnx_network import OnnxColorNetwork, read_manifest
from recolor_cli.model.registry import available_models, build_path, find_model
from recolor_cli.recolorizer import network_input
from recolor_cli.types import ImageSize

POSTER = find_model("poster")


@pytest.fixture(
    scope="module",
    params=[POSTER, build_path(POSTER, 8), build_path(POSTER, 16)],
    ids=["float32", "int8", "float16"],
)
def poster_network(request):
    return OnnxColorNetwork.load(request.param, "cpu")


def tiny_model(path, properties, channels=2, input_name="lightness", output="ab"):
    """Write an ONNX file that averages and repeats, which is enough of a network for a contract."""
    ones = helper.make_tensor("w", TensorProto.FLOAT, [channels, 1, 4, 4], [1 / 16] * 16 * channels)
    node = helper.make_node("Conv", [input_name, "w"], [output], strides=[4, 4])
    graph = helper.make_graph(
        [node],
        "tiny",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, ["N", 1, "H", "W"])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", channels, "h", "w"])],
        [ones],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, properties)
    onnx.save(model, path)
    return path


@pytest.fixture
def regression(manifest):
    values = {f: getattr(manifest, f) for f in manifest.__dataclass_fields__}
    values |= {"kind": "regression", "centers": (), "prior": ()}
    return type(manifest)(**values).to_properties()


def test_a_regression_model_keeps_the_contract(tmp_path, regression):
    network = OnnxColorNetwork.load(tiny_model(tmp_path / "r.onnx", regression), "cpu")
    ab = network.predict(np.full((2, 1, 64, 32), 40, np.float32), 0.38)
    np.testing.assert_allclose(ab, np.full((2, 2, 16, 8), 40), rtol=1e-5)
    assert network.device == "cpu"


@pytest.mark.parametrize(
    "change", [{"channels": 3}, {"input_name": "x"}, {"output": "y"}, {"input_name": "temperature"}]
)
def test_a_graph_that_disagrees_with_its_manifest_is_refused(tmp_path, regression, change):
    path = tiny_model(tmp_path / "r.onnx", regression, **change)
    with pytest.raises(ModelError, match="disagree"):
        read_manifest(path)


def test_a_classification_model_needs_its_logits(tmp_path, manifest):
    with pytest.raises(ModelError, match="logits with 394 channels"):
        read_manifest(tiny_model(tmp_path / "c.onnx", manifest.to_properties()))


@pytest.mark.parametrize("content", [b"", b"once upon a time", b"\x08\x09" * 50])
def test_what_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError):
        OnnxColorNetwork.load(path, "cpu")


def test_the_graph_decodes_as_the_oracle_does(poster_network):
    rgb = draw(200, 150)
    box = poster_network.manifest.box(ImageSize(200, 150))
    tensor = network_input(rgb, box, poster_network.manifest.pad_lightness)
    logits = poster_network.distribution(tensor).logits
    strengths = []
    for temperature in (0.1, 0.38, 1.0, 3.0):
        ab = poster_network.predict(tensor, temperature)
        expected = annealed_mean(logits, poster_network.manifest.bins, temperature)
        # What looks like a photograph gets less color: one factor for the picture.
        strengths.append(float((ab * expected).sum() / (expected**2).sum()))
        np.testing.assert_allclose(ab, strengths[0] * expected, atol=2e-3)
    assert 0.75 <= min(strengths) <= max(strengths) <= 1


def test_the_distribution_decodes_to_what_the_graph_gives(poster_network):
    random = np.random.default_rng(0)
    pictures = [draw(256, 256), random.integers(0, 256, (256, 256, 3), dtype=np.uint8)]
    tensor = np.stack([rgb_to_lightness(rgb)[None] for rgb in pictures])
    distribution = poster_network.distribution(tensor)
    assert distribution.logits.shape == (2, 394, 64, 64)
    for temperature in (0.2, 0.38):
        ab = poster_network.predict(tensor, temperature)
        np.testing.assert_allclose(distribution.decode(temperature), ab, atol=2e-3)


def test_the_cpu_takes_the_int8_build_of_a_name_and_a_path_as_it_is():
    demo = decode((Path(recolor_cli.__file__).parent / "demo.jpg").read_bytes()).rgb
    tensor = rgb_to_lightness(demo[:256, :256])[None, None]
    by_name, plain, build = (
        OnnxColorNetwork.load(model, "cpu").predict(tensor, 0.38)
        for model in ("poster", POSTER, build_path(POSTER, 8))
    )
    np.testing.assert_array_equal(by_name, build)
    assert 0 < np.abs(plain - build).mean() < 2
    assert "poster" in available_models()
    assert not [name for name in available_models() if "int8" in name or "fp16" in name]


def test_the_float16_build_gives_nearly_the_same_colors():
    tensor = rgb_to_lightness(draw(256, 256))[None, None]
    plain, build = (
        OnnxColorNetwork.load(model, "cpu").predict(tensor, 0.38)
        for model in (POSTER, build_path(POSTER, 16))
    )
    assert 0 < np.abs(plain - build).mean() < 0.2


def test_the_default_model_pads_to_multiples_of_its_stride(poster_network):
    manifest = poster_network.manifest
    box = manifest.box(ImageSize(300, 200))
    assert (box.canvas.height, box.canvas.width) == (256, 192)
    ab = poster_network.predict(network_input(draw(300, 200), box, 50.0), 0.38)
    assert ab.shape == (1, 2, 64, 48)


def test_a_regression_has_no_distribution():
    network = OnnxColorNetwork.load("fruitnet", "cpu")
    with pytest.raises(ModelError, match="fruitnet gives no choice of colors"):
        network.distribution(np.zeros((1, 1, 64, 64), np.float32))


def test_several_pictures_and_other_sizes_at_a_time(poster_network):
    random = np.random.default_rng(0)
    tensor = random.uniform(0, 100, (3, 1, 256, 192)).astype(np.float32)
    together = poster_network.predict(tensor, 0.38)
    assert together.shape == (3, 2, 64, 48)
    for i in range(3):
        alone = poster_network.predict(tensor[i : i + 1], 0.38)
        np.testing.assert_allclose(together[i : i + 1], alone, atol=1e-2)


def test_a_failure_of_onnxruntime_is_an_inference_error(poster_network):
    with pytest.raises(InferenceError, match="network failed"):
        poster_network.predict(np.zeros((1, 3, 256, 256), np.float32), 0.38)


@pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8 there")
def test_a_model_whose_name_is_no_utf8(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff\xe9.onnx")
    path.write_bytes(build_path(POSTER, 8).read_bytes())
    assert OnnxColorNetwork.load(path, "cpu").manifest == read_manifest(path)


def test_a_broken_model_with_texts_that_are_no_utf8(tmp_path):
    data = build_path(POSTER, 8).read_bytes()
    path = tmp_path / "x.onnx"
    path.write_bytes(data.replace(b"\x22\x04Conv", b"\x22\x04C\xff\xe9v"))
    with pytest.raises(ModelError, match="cannot be loaded as a model"):
        OnnxColorNetwork.load(path, "cpu")
