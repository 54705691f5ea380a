import numpy as np
import pytest

from conftest import drawn
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.model.registry import find_model

onnx = pytest.importorskip("onnx")  # of the extra that quantizing belongs to
int8 = pytest.importorskip("recolor_cli.training.compression.int8")


@pytest.fixture
def folder(tmp_path):
    return drawn(tmp_path / "pictures", 2, 80, 60)


def test_a_model_in_8_bits_gives_nearly_the_same_colors(recolor, folder, tmp_path):
    # A name that the work in between uses, too.
    source, result = find_model("fruitnet"), tmp_path / "plain.onnx"
    out, err = recolor("quantize", source, "--pictures", folder, "-o", result)
    assert out.decode() == f"{result}\n"
    assert "ab units on average" in err
    nodes = onnx.load(result).graph.node
    in_8_bits = {o for node in nodes if node.op_type == "DequantizeLinear" for o in node.output}
    assert any(node.op_type == "Conv" and node.input[1] in in_8_bits for node in nodes)

    before, after = (OnnxColorNetwork.load(path, "cpu") for path in (source, result))
    assert after.manifest.name == before.manifest.name
    size = before.manifest.size
    lightness = np.linspace(0, 100, size * size, dtype=np.float32).reshape(1, 1, size, size)
    expected, found = (n.predict(lightness, n.manifest.temperature) for n in (before, after))
    assert 0 < np.abs(found - expected).mean() < 3 * int8.MAX_SHIFT
    assert after.manifest.strength == pytest.approx(before.manifest.strength, rel=0.1)
    assert after.manifest.strength != before.manifest.strength  # it gives back what got lost
    assert np.abs(expected).mean() > 3 * int8.MAX_SHIFT  # there is color to be lost


def test_a_model_whose_color_moves_too_far_is_not_written(recolor, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(int8, "MAX_SHIFT", 0)
    result = tmp_path / "result.onnx"
    _, err = recolor(
        "quantize", find_model("fruitnet"), "--pictures", folder, "-o", result, exit_code=4
    )
    assert "moves its color by more than 0 ab units" in err
    assert not result.exists()


def test_one_picture_is_too_few(recolor, folder, tmp_path):
    for path in sorted(folder.iterdir())[1:]:
        path.unlink()
    result = tmp_path / "result.onnx"
    _, err = recolor(
        "quantize", find_model("fruitnet"), "--pictures", folder, "-o", result, exit_code=2
    )
    assert "more than one" in err
