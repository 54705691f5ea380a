import numpy as np
import onnxruntime
import pytest

onnx = pytest.importorskip("onnx")  # of the extra that quantizing belongs to
equalization = pytest.importorskip("recolor_cli.training.compression.equalize")

from onnx import helper, numpy_helper  # noqa: E402

C = 4  # channels of all tensors here


class Toy:
    """A graph of convolutions with random weights, of channels that differ a hundredfold."""

    def __init__(self):
        self.random = np.random.default_rng(0)
        self.nodes, self.weights = [], {}

    def conv(self, source, target, channels=C, group=1, weights=None):
        if weights is None:
            weights = (f"{target}.w", f"{target}.b")
            shape = (C, channels // group, 3, 3)
            spread = 10.0 ** self.random.uniform(-1, 1, C)
            self.weights[weights[0]] = self.random.normal(size=shape) * spread[:, None, None, None]
            self.weights[weights[1]] = self.random.normal(size=C) * spread
        inputs = [source, *weights]
        self.nodes.append(helper.make_node("Conv", inputs, [target], group=group, pads=[1] * 4))
        return weights

    def op(self, kind, sources, target, **attributes):
        self.nodes.append(helper.make_node(kind, sources, [target], **attributes))

    def model(self, *outputs):
        shape = ["N", C, "h", "w"]
        info = [
            helper.make_tensor_value_info(
                name, onnx.TensorProto.FLOAT, shape if name == "x" else None
            )
            for name in ("x", *outputs)
        ]
        tensors = [
            numpy_helper.from_array(np.float32(value), name) for name, value in self.weights.items()
        ]
        graph = helper.make_graph(self.nodes, "toy", info[:1], info[1:], tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def answers(model, names):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = np.random.default_rng(1).normal(size=(2, C, 8, 8)).astype(np.float32)
    return session.run(list(names), {"x": x})


def ranges(model, names):
    found = answers(equalization.with_outputs(model, names), names)
    return {name: np.abs(f).max(axis=(0, 2, 3)) for name, f in zip(names, found, strict=True)}


def plain(toy):
    toy.conv("x", "a")
    toy.conv("a", "y")


def residual(toy):
    toy.conv("x", "a")
    toy.conv("a", "b")
    toy.op("Add", ["a", "b"], "c")
    toy.conv("c", "y")


def lateral(toy):  # summed with a sum whose parts come later
    toy.conv("x", "a")
    toy.conv("x", "p")
    toy.conv("x", "q")
    toy.op("Add", ["p", "q"], "s")
    toy.op("Add", ["a", "s"], "z")
    toy.conv("a", "u")
    toy.conv("z", "v")
    toy.op("Mul", ["u", "v"], "y")


def sum_with_what_is_clipped(toy):
    toy.conv("x", "p")
    toy.op("Relu", ["p"], "r")
    toy.conv("x", "q")
    toy.op("Add", ["r", "q"], "s")
    toy.conv("s", "y")


def joined(toy):
    toy.conv("x", "a")
    toy.conv("x", "b")
    toy.op("Relu", ["a"], "r")
    toy.op("Concat", ["r", "b"], "j", axis=1)
    toy.conv("j", "y", channels=2 * C)


def joined_with_itself(toy):
    toy.conv("x", "a")
    toy.op("Concat", ["a", "a"], "j", axis=1)
    toy.conv("j", "y", channels=2 * C)


def joined_in_width(toy):
    toy.conv("x", "a")
    toy.conv("x", "b")
    toy.op("Concat", ["a", "b"], "j", axis=3)
    toy.conv("j", "y")


def depthwise(toy):
    toy.conv("x", "a")
    toy.conv("a", "y", group=C)


def shared_weights(toy):
    toy.conv("x", "a")
    shared = toy.conv("a", "b")
    toy.conv("b", "y", weights=shared)


def dead(toy):
    toy.conv("x", "a")
    for name in ("a.w", "a.b"):
        toy.weights[name] *= 0
    toy.conv("a", "y")


@pytest.mark.parametrize(
    "build",
    [
        plain,
        residual,
        lateral,
        sum_with_what_is_clipped,
        joined,
        joined_with_itself,
        joined_in_width,
        depthwise,
        shared_weights,
        dead,
    ],
)
def test_what_a_network_computes_stays(build):
    toy = Toy()
    build(toy)
    model = toy.model("y")
    (before,) = answers(model, ["y"])
    equalization.equalize(model, ranges)
    (after,) = answers(model, ["y"])
    np.testing.assert_allclose(after, before, atol=1e-4 * max(1, np.abs(before).max()))


@pytest.mark.parametrize(("build", "tensor"), [(plain, "a"), (residual, "c"), (joined, "b")])
def test_channels_have_like_ranges_then(build, tensor):
    toy = Toy()
    build(toy)
    model = toy.model("y")
    before = ranges(model, [tensor])[tensor]
    equalization.equalize(model, ranges)
    after = ranges(model, [tensor])[tensor]
    assert before.max() / before.min() > 3
    assert after.max() / after.min() < 0.6 * before.max() / before.min()


def test_a_tensor_that_the_model_answers_with_is_left_alone():
    toy = Toy()
    plain(toy)
    model = toy.model("a", "y")
    before = answers(model, ["a"])
    equalization.equalize(model, ranges)
    np.testing.assert_array_equal(answers(model, ["a"]), before)
