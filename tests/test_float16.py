import shutil

import numpy as np
import onnxruntime
import pytest

from conftest import drawn
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.model.registry import available_models, build_path, find_model

onnx = pytest.importorskip("onnx")  # of the extra that quantizing belongs to
torch = pytest.importorskip("torch")
float16 = pytest.importorskip("recolor_cli.training.compression.float16")

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


@pytest.fixture
def folder(tmp_path):
    return drawn(tmp_path / "pictures", 3, 80, 60)


def ab_of_ramp(model):
    network = OnnxColorNetwork.load(model, "cpu")
    size = network.manifest.size
    lightness = np.linspace(0, 100, size * size, dtype=np.float32).reshape(1, 1, size, size)
    return network.predict(lightness, network.manifest.temperature)


def types_of(model):
    """Return the element types of a model's tensors that are computed, by name."""
    inferred = onnx.shape_inference.infer_shapes(onnx.load(model)).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def test_convolutions_are_in_float16_but_the_first_and_the_last(recolor, folder, tmp_path):
    source, result = find_model("fruitnet"), tmp_path / "build.onnx"
    out, err = recolor("quantize", source, "--bits", 16, "--pictures", folder, "-o", result)
    assert out.decode() == f"{result}\n"
    assert "3 of 9 convolutions stay in single precision" in err
    graph, types = onnx.load(result).graph, types_of(result)
    kinds = [types[node.output[0]] for node in graph.node if node.op_type == "Conv"]
    assert kinds == [FLOAT] * 2 + [HALF] * 6 + [FLOAT]
    assert not [node for node in graph.node if node.op_type == "BatchNormalization"]
    assert types["lightness"] == types["ab"] == FLOAT
    assert not any(tensor.external_data for tensor in graph.initializer)  # in another folder
    expected, found = ab_of_ramp(source), ab_of_ramp(result)
    assert 0 < np.abs(found - expected).mean() < float16.MAX_SHIFT
    assert np.abs(expected).mean() > 3 * float16.MAX_SHIFT  # there is color to be lost


def test_beside_its_model_a_build_is_taken_of_the_name(recolor, folder, tmp_path, monkeypatch):
    place = tmp_path / "Poster für später"
    place.mkdir()
    model = place / "own.onnx"
    shutil.copyfile(find_model("poster"), model)
    monkeypatch.setenv("RECOLOR_MODELS", str(place))
    recolor("quantize", "own", "--bits", 16, "--pictures", folder)
    build = build_path(model, 16)
    assert find_model("own", bits=16) == build
    assert "own.fp16" not in available_models()
    # It stores its weights in 8 bits like the model, and has no external data.
    assert build.stat().st_size < 1.1 * model.stat().st_size
    types = {tensor.data_type for tensor in onnx.load(build).graph.initializer}
    assert onnx.TensorProto.INT8 in types
    expected = ab_of_ramp(model)
    model.unlink()
    found = ab_of_ramp(build)
    assert 0 < np.abs(found - expected).mean() < float16.MAX_SHIFT


def test_a_model_whose_color_moves_too_far_is_not_written(recolor, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(float16, "MAX_SHIFT", 0)
    result = tmp_path / "result.onnx"
    command = ("quantize", find_model("fruitnet"), "--bits", 16, "--pictures", folder, "-o", result)
    _, err = recolor(*command, exit_code=4)
    assert "in half precision, more than 0" in err
    assert not result.exists()


@pytest.mark.parametrize("bits", [8, 16])
def test_the_model_itself_is_not_overwritten(recolor, folder, tmp_path, bits):
    model = tmp_path / "own.onnx"
    shutil.copyfile(find_model("fruitnet"), model)
    before = model.read_bytes()
    command = ("quantize", model, "--bits", bits, "--pictures", folder, "-o", model)
    _, err = recolor(*command, exit_code=2)
    assert "is the model itself" in err
    assert model.read_bytes() == before


def test_what_is_measured_rounds_after_each_operation(monkeypatch):
    monkeypatch.setattr(float16, "_FIRST", 0)
    # Numbers that half precision cannot hold, and a second path that is added.
    random = np.random.default_rng(0)
    shapes = {"w1": (8, 1, 3, 3), "b1": (8,), "w2": (8, 8, 3, 3), "b2": (8,), "w3": (2, 8, 1, 1)}
    weights = {n: random.normal(0, 0.5, s).astype(np.float32) for n, s in shapes.items()}
    node, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], name="1", pads=[1] * 4),
        node("Relu", ["c1"], ["r1"], name="2"),
        node("Conv", ["r1", "w2", "b2"], ["c2"], name="3", pads=[1] * 4),
        node("Add", ["c2", "r1"], ["s"], name="4"),
        node("Conv", ["s", "w3"], ["y"], name="5"),
        node("Relu", ["y"], ["z"], name="6"),
    ]
    shape = [1, 1, 16, 16]
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    value_infos = [info("x", FLOAT, shape)], [info("z", FLOAT, [1, 2, 16, 16])]
    graph = onnx.helper.make_graph(nodes, "tiny", *value_infos, tensors)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    model.ir_version = 10
    chosen = float16._choose_nodes(model.graph)
    assert chosen == {"1", "2", "3", "4"}
    float16._convert_nodes(model.graph, chosen)
    x = random.uniform(0, 100, shape).astype(np.float32)
    run = onnxruntime.InferenceSession(
        float16._simulate_rounding(model, chosen).SerializeToString(),
        providers=["CPUExecutionProvider"],
    ).run
    (found,) = run(["z"], {"x": x})

    def answer(half):
        def conv(tensor, name):
            weight, bias = (half(torch.from_numpy(weights[kind + name])) for kind in "wb")
            products = half(torch.nn.functional.conv2d(tensor, weight, padding=1))
            return half(products + bias[:, None, None])

        first = conv(half(torch.from_numpy(x)), "1").relu()
        both = half(conv(first, "2") + first)
        return torch.nn.functional.conv2d(both, torch.from_numpy(weights["w3"])).relu().numpy()

    rounded, exact = answer(lambda tensor: tensor.half().float()), answer(lambda tensor: tensor)
    # Sums in another order, and a number now and then rounded the other way for that.
    assert np.abs(found - rounded).mean() < 0.05 * np.abs(found - exact).mean()
