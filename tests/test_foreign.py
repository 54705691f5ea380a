"""Foreign networks become model files that give the same colors."""

import json
import sys
from dataclasses import replace

import cv2
import h5py
import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper, version_converter
from PIL import Image
from torch import nn
from torch.nn import functional

from conftest import draw, drawn
from recolor_cli.color.lab import rgb_to_lab_cie
from recolor_cli.errors import ModelError, UsageError
from recolor_cli.evaluation.pictures import load_pictures
from recolor_cli.model.foreign_profile import ForeignProfile, OutputKind
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.model.registry import PROFILES
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.training.foreign import conversion
from recolor_cli.training.foreign.conversion import HALF_TOLERANCE, export_foreign
from recolor_cli.training.foreign.keras_loading import load_keras
from recolor_cli.training.parity import TOLERANCE
from recolor_cli.training.tracing import trace
from recolor_cli.types import ModelKind

# Keras' own, of what the tests write with it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SIZE = 64
BINS = ((-20.0, 30.0), (0.0, 0.0), (40.0, -60.0))


class Theirs(nn.Module):
    """A foreign network: any channels in, any out, at half the resolution."""

    def __init__(self, inputs=1, outputs=2, channels_last=False, last=None):
        super().__init__()
        torch.manual_seed(0)
        self.channels_last = channels_last
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, 8, 3, stride=4, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(8, outputs, 3, padding=1),
            last or nn.Tanh(),
        )

    def forward(self, x):
        if self.channels_last:
            x = x.permute(0, 3, 1, 2)
        x = self.layers(x)
        return x.permute(0, 2, 3, 1) if self.channels_last else x


@pytest.fixture
def pictures(tmp_path):
    return load_pictures([str(drawn(tmp_path / "pictures", 2, 50, 40))])


def noise(*shape):
    return np.random.default_rng(1).uniform(0, 100, shape).astype(np.float32)


def save_onnx(network, path, profile, opset=18, outputs=("y",), count=2):
    """Write a network as ONNX; `count` is 1 where it takes no other number of pictures."""
    example = torch.zeros(profile.input_shape(count))
    if next(network.parameters()).dtype == torch.float16:
        example = example.half()
    free = {0: "count"} if count > 1 else {}
    if profile.stride:
        free |= dict(zip(profile.spatial_axes, ("height", "width"), strict=True))
    onnx.save(trace(network.eval(), {"x": example}, outputs, {"x": free}, opset), path)


def by_hand(network, profile, lightness, temperature=0.38):
    """Return the ab that the network in torch gives, by the profile in numpy."""
    with torch.inference_mode():
        answer = network.eval()(torch.from_numpy(profile.prepare_input(lightness)))
    return profile.convert_output(answer.numpy(), temperature, lightness)


@pytest.mark.parametrize("count", [1, 2])
def test_networks_of_one_picture_and_of_any_number(tmp_path, pictures, count):
    network = Theirs()
    profile = ForeignProfile(SIZE, OutputKind.AB, offset=50.0, scale=50.0, answer_scale=110.0)
    save_onnx(network, tmp_path / "theirs.onnx", profile, count=count)
    parity = export_foreign(tmp_path / "theirs.onnx", profile, tmp_path / "new.onnx", pictures)
    assert parity.framework == "the ONNX file as it came"
    assert parity.max_difference <= TOLERANCE
    assert parity.inputs == (3 if count == 1 else 5)
    model = OnnxColorNetwork.load(tmp_path / "new.onnx", "cpu")
    assert (model.manifest.name, model.manifest.kind) == ("new", ModelKind.REGRESSION)
    assert (model.manifest.size, model.manifest.stride) == (SIZE, SIZE)
    lightness = noise(1 if count == 1 else 4, 1, SIZE, SIZE)
    ab = model.predict(lightness, 0.38)
    assert np.ptp(ab) > 10
    np.testing.assert_allclose(ab, by_hand(network, profile, lightness), atol=TOLERANCE)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    ("answer", "outputs", "last"),
    [("ab", 2, None), ("rgb", 3, nn.Sigmoid()), ("logits", 394, nn.Identity()),
     ("probabilities", 3, "softmax")],
)  # fmt: skip
def test_all_that_a_profile_can_say(tmp_path, pictures, answer, outputs, last, channels_last):
    values = {"answer_scale": 100.0, "answer_offset": (1.0, -2.0)} if answer == "ab" else {}
    gray = answer in ("rgb", "probabilities")
    if gray:
        values |= {"channels": 3, "offset": (0.485, 0.456, 0.406), "scale": (0.229, 0.224, 0.225)}
    if answer == "probabilities":
        values["bins"] = BINS
    profile = ForeignProfile(
        SIZE, OutputKind(answer), gray_input=gray, channels_last=channels_last, stride=32, **values
    )
    last = nn.Softmax(dim=1) if last == "softmax" else last
    network = Theirs(profile.channels, outputs, channels_last, last)
    save_onnx(network, tmp_path / "theirs.onnx", profile)
    parity = export_foreign(tmp_path / "theirs.onnx", profile, tmp_path / "new.onnx", pictures)
    assert parity.max_difference <= TOLERANCE
    model = OnnxColorNetwork.load(tmp_path / "new.onnx", "cpu")
    classifies = profile.is_distribution
    assert model.manifest.kind is ModelKind("classification" if classifies else "regression")
    assert model.manifest.stride == 32
    lightness = noise(2, 1, 96, 32)
    for temperature in (0.38, 2.0):
        expected = by_hand(network, profile, lightness, temperature)
        np.testing.assert_allclose(model.predict(lightness, temperature), expected, atol=TOLERANCE)


@pytest.mark.parametrize("channels_last", [False, True])
def test_only_the_chroma_of_rgb_in_levels_of_bytes(tmp_path, pictures, channels_last):
    class Levels(Theirs):
        def forward(self, x):
            y = super().forward(x / 255) * 255
            axis = 1 if self.channels_last else 2
            return y.repeat_interleave(2, axis).repeat_interleave(2, axis + 1)

    profile = ForeignProfile(
        96, OutputKind.RGB, gray_input=True, channels=3, white=255.0, keep_luma=True,
        channels_last=channels_last, other_sizes=(SIZE,),
    )  # fmt: skip
    network = Levels(3, 3, channels_last, nn.Sigmoid())
    fitted = replace(profile, size=SIZE)
    save_onnx(network, tmp_path / "theirs.onnx", fitted)
    parity = export_foreign(tmp_path / "theirs.onnx", profile, tmp_path / "new.onnx", pictures)
    assert parity.max_difference <= TOLERANCE
    model = OnnxColorNetwork.load(tmp_path / "new.onnx", "cpu")
    assert model.manifest.size == SIZE
    lightness = noise(2, 1, SIZE, SIZE)
    ab = model.predict(lightness, 0.38)
    assert np.ptp(ab) > 10
    np.testing.assert_allclose(ab, by_hand(network, fitted, lightness), atol=TOLERANCE)


@pytest.mark.parametrize("opset", [9, 20])
def test_the_steps_of_opencvs_gray_are_at_the_same_places(tmp_path, pictures, opset):
    profile = ForeignProfile(
        SIZE, OutputKind.AB, gray_input=True, opencv_gray=True, channels=3, answer_scale=100.0
    )
    network = Theirs(3)
    save_onnx(network, tmp_path / "theirs.onnx", profile, opset)
    export_foreign(tmp_path / "theirs.onnx", profile, tmp_path / "new.onnx", pictures)
    lightness = noise(16, 1, SIZE, SIZE)
    lightness[0, 0, 0, :2] = 0, 100
    ab = OnnxColorNetwork.load(tmp_path / "new.onnx", "cpu").predict(lightness, 0.38)
    np.testing.assert_allclose(ab, by_hand(network, profile, lightness), atol=TOLERANCE)
    plain = by_hand(network, replace(profile, opencv_gray=False), lightness)
    assert np.abs(ab - plain).max() > 4 * TOLERANCE


@pytest.mark.parametrize("opset", [9, 12, 20, 21])
def test_onnx_files_old_and_new(tmp_path, pictures, opset):
    profile = ForeignProfile(SIZE, OutputKind.RGB, gray_input=True, channels=3)
    network = Theirs(3, 3)
    save_onnx(network, tmp_path / "theirs.onnx", profile, min(opset, 20))
    if opset > 20:
        model = version_converter.convert_version(onnx.load(tmp_path / "theirs.onnx"), opset)
        onnx.save(model, tmp_path / "theirs.onnx")
    export_foreign(tmp_path / "theirs.onnx", profile, tmp_path / "new.onnx", pictures)
    assert onnx.load(tmp_path / "new.onnx").opset_import[0].version == opset
    lightness = noise(2, 1, SIZE, SIZE)
    ab = OnnxColorNetwork.load(tmp_path / "new.onnx", "cpu").predict(lightness, 1.0)
    np.testing.assert_allclose(ab, by_hand(network, profile, lightness), atol=TOLERANCE)


def test_an_onnx_file_in_half_precision(tmp_path, pictures):
    profile = ForeignProfile(SIZE, OutputKind.AB, answer_scale=100.0, scale=100.0)
    network = Theirs()
    save_onnx(network.half(), tmp_path / "theirs.onnx", profile)
    parity = export_foreign(tmp_path / "theirs.onnx", profile, tmp_path / "new.onnx", pictures)
    assert parity.max_difference <= parity.tolerance == HALF_TOLERANCE
    lightness = noise(1, 1, SIZE, SIZE)
    ab = OnnxColorNetwork.load(tmp_path / "new.onnx", "cpu").predict(lightness, 1.0)
    expected = by_hand(network.float(), profile, lightness)
    np.testing.assert_allclose(ab, expected, atol=1)  # half precision has 11 bits


def test_weights_that_are_only_stored_in_half_precision(tmp_path, pictures):
    profile = ForeignProfile(SIZE, OutputKind.AB, answer_scale=100.0, scale=100.0)
    save_onnx(Theirs(), tmp_path / "theirs.onnx", profile)
    model = onnx.load(tmp_path / "theirs.onnx")
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(np.float16)
            cast = helper.make_node("Cast", [f"{tensor.name}_half"], [tensor.name], to=1)
            casts.append(cast)
            tensor.CopyFrom(numpy_helper.from_array(values, f"{tensor.name}_half"))
    nodes = [*casts, *model.graph.node]
    assert casts
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, tmp_path / "theirs.onnx")
    parity = export_foreign(tmp_path / "theirs.onnx", profile, tmp_path / "new.onnx", pictures)
    assert parity.tolerance == TOLERANCE


def test_single_precision_outside_and_half_inside(tmp_path, pictures):
    class Inside(Theirs):
        def forward(self, x):
            return super().forward(x.half()).float()

    profile = ForeignProfile(SIZE, OutputKind.AB, answer_scale=100.0, scale=100.0)
    network = Inside().half()
    onnx.save(
        trace(network.eval(), {"x": torch.zeros(profile.input_shape(1))}, ["y"], {}),
        tmp_path / "theirs.onnx",
    )
    parity = export_foreign(tmp_path / "theirs.onnx", profile, tmp_path / "new.onnx", pictures)
    assert parity.tolerance == HALF_TOLERANCE


def test_more_weights_than_one_file_holds(tmp_path, pictures, monkeypatch):
    profile = ForeignProfile(SIZE, OutputKind.AB, scale=100.0)
    save_onnx(Theirs(), tmp_path / "theirs.onnx", profile)
    weights = sum(parameter.numel() for parameter in Theirs().parameters())
    monkeypatch.setattr(conversion, "_MAX_BYTES", 4 * weights - 1)
    monkeypatch.setattr(conversion, "add_profile", None)  # onnx joins no larger ones, either
    with pytest.raises(ModelError, match="one ONNX file holds 2") as caught:
        export_foreign(tmp_path / "theirs.onnx", profile, tmp_path / "new.onnx", pictures)
    assert "half precision" in caught.value.hint
    assert not (tmp_path / "new.onnx").exists()


def test_weights_beside_an_onnx_file_come_into_the_model_file(tmp_path, pictures):
    profile = ForeignProfile(SIZE, OutputKind.AB, scale=100.0, answer_scale=100.0)
    save_onnx(Theirs(), tmp_path / "whole.onnx", profile)
    (tmp_path / "beside").mkdir()
    path = tmp_path / "beside" / "theirs.onnx"
    beside = {"save_as_external_data": True, "location": "weights", "size_threshold": 0}
    onnx.save(onnx.load(tmp_path / "whole.onnx"), path, **beside)
    export_foreign(path, profile, tmp_path / "new.onnx", pictures)
    (tmp_path / "beside" / "weights").unlink()
    with pytest.raises(ModelError, match=r"theirs\.onnx"):
        export_foreign(path, profile, tmp_path / "x.onnx", pictures)
    lightness = noise(1, 1, SIZE, SIZE)
    ab = OnnxColorNetwork.load(tmp_path / "new.onnx", "cpu").predict(lightness, 1.0)
    np.testing.assert_allclose(ab, by_hand(Theirs(), profile, lightness), atol=TOLERANCE)


@pytest.mark.parametrize("answer", [[1, 2, SIZE, SIZE], [1, 2, -1, SIZE]])
def test_an_onnx_file_that_takes_one_picture_though_it_says_any_number(tmp_path, pictures, answer):
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("Concat", ["x", "x"], ["both"], axis=1),
            helper.make_node("Reshape", ["both", "shape"], ["y"]),
        ],
        "theirs",
        [helper.make_tensor_value_info("x", float32, ["N", 1, SIZE, SIZE])],
        [helper.make_tensor_value_info("y", float32, ["M", 2, "h", SIZE])],
        [helper.make_tensor("shape", onnx.TensorProto.INT64, [4], answer)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "theirs.onnx")
    profile = ForeignProfile(SIZE, OutputKind.AB)
    parity = export_foreign(tmp_path / "theirs.onnx", profile, tmp_path / "new.onnx", pictures)
    assert parity.inputs == 3
    lightness = noise(1, 1, SIZE, SIZE)
    ab = OnnxColorNetwork.load(tmp_path / "new.onnx", "cpu").predict(lightness, 1.0)
    np.testing.assert_allclose(ab, np.repeat(lightness, 2, axis=1), atol=1e-4)


def test_branches_that_read_what_stands_outside_of_them(tmp_path, pictures):
    float32, shape = onnx.TensorProto.FLOAT, ["count", 2, SIZE, SIZE]

    def branch(name, nodes, weights=()):
        # Its answer is called as in the other one, which is allowed.
        return helper.make_graph(
            nodes, name, [], [helper.make_tensor_value_info("chosen", float32, shape)], weights
        )

    def weight(name, value):
        return helper.make_tensor(name, float32, [1, 2, 1, 1], [value, -value])

    inner = [
        branch("sum", [helper.make_node("Add", ["doubled", "own"], ["chosen"])]),
        branch("product", [helper.make_node("Mul", ["doubled", "outer"], ["chosen"])]),
    ]
    call = helper.make_node("Double", ["x"], ["doubled"], domain="theirs")
    decide = helper.make_node(
        "If", ["bright"], ["chosen"], then_branch=inner[0], else_branch=inner[1]
    )
    light = branch("light", [call, decide], [weight("own", 3)])
    dark = branch("dark", [helper.make_node("Sub", ["x", "outer"], ["chosen"])])
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        helper.make_node("Greater", ["mean", "half"], ["bright"]),
        helper.make_node("If", ["bright"], ["y"], then_branch=light, else_branch=dark),
    ]
    graph = helper.make_graph(
        nodes,
        "theirs",
        [helper.make_tensor_value_info("x", float32, ["count", 1, SIZE, SIZE])],
        [helper.make_tensor_value_info("y", float32, shape)],
        [weight("outer", 20), helper.make_tensor("half", float32, [], [50])],
    )
    opset = [helper.make_opsetid("", 18), helper.make_opsetid("theirs", 1)]
    double = helper.make_function(
        "theirs", "Double", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], opset[:1]
    )
    model = helper.make_model(graph, opset_imports=opset, functions=[double], ir_version=10)
    onnx.save(model, tmp_path / "theirs.onnx")
    profile = ForeignProfile(SIZE, OutputKind.AB)
    export_foreign(tmp_path / "theirs.onnx", profile, tmp_path / "new.onnx", pictures)
    network = OnnxColorNetwork.load(tmp_path / "new.onnx", "cpu")
    for level, expected in ((80, (163, 157)), (30, (10, 50))):
        # One at a time, because the branch depends on all pictures of a run.
        ab = network.predict(np.full((1, 1, SIZE, SIZE), level, np.float32), 1.0)
        np.testing.assert_allclose(ab.mean(axis=(0, 2, 3)), expected, atol=1e-3)


def test_bins_of_their_own_and_one_output_of_several(tmp_path, pictures):
    class Two(Theirs):
        def forward(self, x):
            answer = super().forward(x)
            return x * 2, answer

    profile = ForeignProfile(SIZE, OutputKind.LOGITS, bins=BINS, output="color")
    network = Two(1, 3, last=nn.Identity())
    save_onnx(network, tmp_path / "theirs.onnx", profile, outputs=("other", "color"))
    export_foreign(tmp_path / "theirs.onnx", profile, tmp_path / "new.onnx", pictures)
    model = OnnxColorNetwork.load(tmp_path / "new.onnx", "cpu")
    assert model.manifest.centers == BINS
    assert sum(model.manifest.prior) == pytest.approx(1)
    lightness = noise(1, 1, SIZE, SIZE)
    with torch.inference_mode():
        shares = torch.softmax(network(torch.from_numpy(lightness))[1] / 0.5, dim=1)
    expected = np.einsum("nqhw,qc->nchw", shares.numpy(), np.array(BINS))
    np.testing.assert_allclose(model.predict(lightness, 0.5), expected, atol=TOLERANCE)
    unclear = ForeignProfile(SIZE, OutputKind.LOGITS, bins=BINS)
    with pytest.raises(ModelError, match="output must be one of other, color"):
        export_foreign(tmp_path / "theirs.onnx", unclear, tmp_path / "x.onnx", pictures)


# DDColor.


class StandIn(nn.Module):
    """Of DDColor's form: gray RGB in, 0..1, which it scales itself, and ab out."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.look = nn.Conv2d(3, 2, 5, padding=2)

    def forward(self, rgb):
        return 60 * torch.tanh(self.look((rgb - 0.45) / 0.22))


@pytest.fixture
def ddcolor(tmp_path):
    path = tmp_path / "ddcolor.onnx"
    onnx.save(trace(StandIn(), {"input": torch.zeros(1, 3, 512, 512)}, ["output"], {}), path)
    values = [*onnx.load(path).graph.input[:1], *onnx.load(path).graph.output]
    shapes = [[d.dim_value for d in v.type.tensor_type.shape.dim] for v in values]
    assert shapes == [[1, 3, 512, 512], [1, 2, 512, 512]]  # fixed
    return path


def test_ddcolor_runs_by_the_profile_that_comes_along_and_as_one_file(
    recolor, tmp_path, ddcolor, pictures
):
    recolor("profile", "ddcolor", "-o", tmp_path / "ddcolor.toml")
    folder, model = tmp_path / "pictures", tmp_path / "new.onnx"
    export = ("export", ddcolor, model, "--pictures", folder)
    _, err = recolor(*export, "--profile", "ddcolor")
    assert "differ by at most" in err
    results = []
    for name in (tmp_path / "ddcolor.toml", model):
        path = tmp_path / "result.png"
        recolor(folder / "0.png", "-m", name, "--device", "cpu", "--overwrite", "-o", path)
        results.append(np.asarray(Image.open(path)).astype(int))
    assert np.abs(results[0] - results[1]).max() <= 1
    assert np.ptp(results[0], axis=2).max() > 20  # not gray
    assert "file" in recolor(*export[:2], ddcolor, "--profile", "ddcolor", exit_code=2)[1]


def test_ddcolor_is_fed_and_read_as_its_own_code_does(tmp_path, ddcolor, pictures):
    export_foreign(
        ddcolor, ForeignProfile.load(PROFILES["ddcolor"]), tmp_path / "new.onnx", pictures
    )
    model = OnnxColorNetwork.load(tmp_path / "new.onnx", "cpu")
    assert (model.manifest.size, model.manifest.license) == (512, "Apache-2.0")
    # In the middle of OpenCV's steps: at their edges, rounding decides which one a gray is on.
    gray = (np.floor(noise(512, 512, 1) * 5.12) + np.float32(0.5)) / 512
    lab = cv2.cvtColor(gray.repeat(3, axis=2), cv2.COLOR_RGB2LAB)
    lab[..., 1:] = 0
    rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    lightness = rgb_to_lab_cie(gray.repeat(3, axis=2))[..., 0]
    with torch.inference_mode():
        expected = StandIn()(torch.from_numpy(rgb).permute(2, 0, 1)[None]).numpy()
    ab = model.predict(lightness[None, None], 1.0)
    assert np.ptp(ab) > 10
    np.testing.assert_allclose(ab, expected, atol=0.01)


def test_profiles_that_come_along(recolor):
    out, _ = recolor("profile")
    assert out.decode().split() == list(PROFILES)
    _, err = recolor("profile", "x", exit_code=2)
    assert "ddcolor" in err
    out, _ = recolor("profile", "ddcolor")
    assert out.split() == PROFILES["ddcolor"].read_bytes().split()


def test_a_profile_is_written_but_over_nothing(recolor, tmp_path):
    path = tmp_path / "new.toml"
    out, _ = recolor("profile", "ddcolor", "-o", path)
    assert out.decode().strip() == str(path)
    assert ForeignProfile.load(path) == ForeignProfile.load(PROFILES["ddcolor"])
    path.write_text("mine")
    _, err = recolor("profile", "ddcolor", "--out", path, exit_code=2)
    assert "exists already" in err
    assert path.read_text() == "mine"
    recolor("profile", "-o", tmp_path / "x.toml", exit_code=2)
    assert not (tmp_path / "x.toml").exists()


# Keras.


@pytest.fixture(scope="module")
def keras(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))  # where it notes its own
        return load_keras()


@pytest.fixture(scope="module")
def koalarization(keras):
    """Build [Baldassarre]'s network in Keras, narrow and with a small classifier, and train it."""
    layers, width = keras.layers, 8
    keras.utils.set_random_seed(0)

    def convolution(x, filters, size=3, strides=1, activation="relu"):
        return layers.Conv2D(filters, size, strides=strides, padding="same", activation=activation)(
            x
        )

    lightness = keras.Input((SIZE, SIZE, 1))
    x = lightness
    for filters, strides in zip((1, 2, 2, 4, 4, 8, 8, 4), (2, 1, 2, 1, 2, 1, 1, 1), strict=True):
        x = convolution(x, filters * width, strides=strides)
    seen = layers.Resizing(32, 32)(layers.Concatenate()([lightness] * 3))
    seen = layers.GlobalAveragePooling2D()(convolution(seen, 8, strides=2))
    seen = layers.RepeatVector((SIZE // 8) ** 2)(layers.Dense(1000)(seen))
    x = layers.Concatenate()([x, layers.Reshape((SIZE // 8, SIZE // 8, 1000))(seen)])
    x = convolution(convolution(x, 4 * width, size=1), 2 * width)
    x = convolution(convolution(layers.UpSampling2D()(x), width), width)
    x = convolution(layers.UpSampling2D()(x), width)
    ab = layers.UpSampling2D()(convolution(x, 2, activation="tanh"))
    model = keras.Model(lightness, ab)

    random = np.random.default_rng(0)
    inputs = np.ones((8, SIZE, SIZE, 1), np.float32) * random.uniform(-1, 1, (8, 1, 1, 1))
    targets = np.concatenate((0.5 * inputs, -0.3 * np.ones_like(inputs)), axis=3)
    model.compile(keras.optimizers.Adam(3e-3), "mse")
    losses = model.fit(inputs, targets, epochs=20, batch_size=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2
    return model


# As in its paper: L* to -1..1, ab / 127.
KOALARIZATION = ForeignProfile(
    SIZE, OutputKind.AB, offset=50.0, scale=50.0, answer_scale=127.0, channels_last=True
)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_trained_koalarization_of_keras(tmp_path, pictures, keras, koalarization, suffix):
    path = tmp_path / f"theirs.{suffix}"
    koalarization.save(path)
    parity = export_foreign(path, KOALARIZATION, tmp_path / "new.onnx", pictures)
    assert parity.framework == "Keras"
    assert parity.max_difference <= TOLERANCE
    assert parity.inputs == 5
    model = OnnxColorNetwork.load(tmp_path / "new.onnx", "cpu")
    lightness = noise(3, 1, SIZE, SIZE)
    ab = model.predict(lightness, 0.38)
    answer = koalarization.predict(lightness.transpose(0, 2, 3, 1) / 50 - 1, verbose=0)
    np.testing.assert_allclose(ab, 127 * answer.transpose(0, 3, 1, 2), atol=TOLERANCE)
    taught = model.predict(np.full((1, 1, SIZE, SIZE), 80, np.float32), 0.38)
    assert taught[:, 0].mean() == pytest.approx(0.5 * 0.6 * 127, abs=15)
    assert taught[:, 1].mean() == pytest.approx(-0.3 * 127, abs=15)
    Recolorizer(model).recolor(draw())


def test_a_sequential_keras_model_of_one_picture_at_a_time(tmp_path, pictures, keras):
    layers = [keras.layers.Conv2D(3, 3, padding="same", activation="sigmoid")]
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3), batch_size=1), *layers])
    model.save(tmp_path / "theirs.keras")
    profile = ForeignProfile(SIZE, OutputKind.RGB, gray_input=True, channels=3, channels_last=True)
    parity = export_foreign(tmp_path / "theirs.keras", profile, tmp_path / "new.onnx", pictures)
    assert parity.inputs == 3
    network = OnnxColorNetwork.load(tmp_path / "new.onnx", "cpu")
    assert network.manifest.training["made_from"] == "theirs.keras"
    lightness = noise(1, 1, SIZE, SIZE)
    answer = model(profile.prepare_input(lightness)).detach().numpy()
    np.testing.assert_allclose(
        network.predict(lightness, 1.0),
        profile.convert_output(answer, 1.0, lightness),
        atol=TOLERANCE,
    )
    with pytest.warns(UserWarning, match="not yet been built"):
        keras.Sequential([keras.layers.Conv2D(3, 3)]).save(tmp_path / "uncalled.keras")
    with pytest.raises(ModelError, match=r"uncalled\.keras has 0 inputs"):
        export_foreign(tmp_path / "uncalled.keras", profile, tmp_path / "x.onnx", pictures)


def test_code_in_a_keras_model_is_not_run(tmp_path, pictures, keras):
    lightness = keras.Input((SIZE, SIZE, 1))
    ab = keras.layers.Conv2D(2, 3, padding="same")(lightness)
    with_code = keras.Model(lightness, keras.layers.Lambda(lambda x: x * 2)(ab))
    without = keras.Model(lightness, keras.layers.Rescaling(2.0)(ab))
    new = tmp_path / "new.onnx"
    for name in ("theirs.keras", "theirs.h5"):
        with_code.save(tmp_path / name)
        with pytest.raises(ModelError, match=rf"{name} holds code") as caught:
            export_foreign(tmp_path / name, KOALARIZATION, new, pictures)
        assert "safe_mode" not in caught.value.message
        assert not new.exists()
        without.save(tmp_path / name)
        export_foreign(tmp_path / name, KOALARIZATION, new, pictures)
        new.unlink()


def test_keras_models_that_do_not_fit_are_refused(tmp_path, pictures, keras):
    layers = keras.layers
    lightness, vector = keras.Input((SIZE, SIZE, 1)), keras.Input((10,))
    spread = layers.Reshape((SIZE, SIZE, 1))(layers.Dense(SIZE * SIZE)(vector))
    keras.Model([lightness, vector], layers.Concatenate()([lightness, spread])).save(
        tmp_path / "two.keras"
    )
    keras.Model(lightness, layers.Conv2D(2, 3, padding="same")(lightness)).save(
        tmp_path / "one.keras"
    )
    (tmp_path / "bad.keras").write_bytes(b"once upon a time")
    (tmp_path / "bad.h5").write_bytes(b"once upon a time")
    larger = ForeignProfile(128, OutputKind.AB, channels_last=True)
    first = ForeignProfile(SIZE, OutputKind.AB)
    color = ForeignProfile(SIZE, OutputKind.RGB, channels_last=True)
    for name, profile, words in (
        ("two.keras", KOALARIZATION, "2 inputs"),
        ("one.keras", larger, r"shape \[None, 64, 64, 1\], the profile makes \[1, 128, 128, 1\]"),
        ("one.keras", first, r"the profile makes \[1, 1, 64, 64\]"),
        ("one.keras", color, "its profile says rgb with 3 channels"),
        ("bad.keras", KOALARIZATION, r"bad\.keras cannot be read as Keras model"),
        ("bad.h5", KOALARIZATION, r"bad\.h5 cannot be read as Keras model"),
    ):
        with pytest.raises(ModelError, match=words):
            export_foreign(tmp_path / name, profile, tmp_path / "new.onnx", pictures)
    assert not (tmp_path / "new.onnx").exists()


def test_a_keras_model_that_fails_on_the_profiles_input(tmp_path, pictures, keras):
    layers = keras.layers
    lightness = keras.Input((None, None, 1))
    even = layers.UpSampling2D()(layers.MaxPooling2D()(lightness))
    keras.Model(lightness, layers.Concatenate()([lightness, even])).save(tmp_path / "even.keras")
    odd = ForeignProfile(SIZE - 1, OutputKind.AB, channels_last=True)
    with pytest.raises(ModelError, match=r"does not accept the shape \(2, 63, 63, 1\)"):
        export_foreign(tmp_path / "even.keras", odd, tmp_path / "new.onnx", pictures)


def test_a_keras_model_that_torch_cannot_convert(tmp_path, pictures, keras, monkeypatch):
    lightness = keras.Input((SIZE, SIZE, 1))
    ab = keras.layers.Conv2D(2, 3, padding="same")(lightness)
    keras.Model(lightness, ab).save(tmp_path / "theirs.keras")

    def refuse(*args):
        raise RuntimeError("no such\n  operator")

    monkeypatch.setattr(conversion, "trace", refuse)
    with pytest.raises(ModelError, match="cannot be converted to ONNX: no such operator") as caught:
        export_foreign(tmp_path / "theirs.keras", KOALARIZATION, tmp_path / "new.onnx", pictures)
    assert "export it to ONNX" in caught.value.hint


def test_without_keras_it_says_how_to_get_it(tmp_path, pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    (tmp_path / "x.keras").write_bytes(b"")
    with pytest.raises(UsageError, match="needs the package keras") as caught:
        export_foreign(tmp_path / "x.keras", KOALARIZATION, tmp_path / "new.onnx", pictures)
    assert "recolor-cli[keras]" in caught.value.hint


def test_keras_computes_in_torch_whatever_is_set(tmp_path, monkeypatch):
    (tmp_path / "keras.py").write_text(
        "import os, types\nkind = os.environ['KERAS_BACKEND']\n"
        "backend = types.SimpleNamespace(backend=lambda: kind)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setitem(sys.modules, "keras", None)  # comes back afterwards
    monkeypatch.delitem(sys.modules, "keras")
    assert load_keras().kind == "torch"
    sys.modules["keras"].kind = "tensorflow"
    with pytest.raises(UsageError, match="already loaded with the backend tensorflow"):
        load_keras()


def test_an_h5_file_as_keras_2_wrote_it(tmp_path, pictures, keras):
    random = np.random.default_rng(0)
    kernel = random.normal(size=(3, 3, 1, 2)).astype(np.float32) * 0.3
    bias = np.array([0.1, -0.2], np.float32)
    dtype = {"trainable": True, "dtype": "float32"}
    shape = [None, SIZE, SIZE, 1]
    layers = [
        {"class_name": "InputLayer", "name": "x", "inbound_nodes": [],
         "config": {"batch_input_shape": shape, "dtype": "float32", "sparse": False,
                    "ragged": False, "name": "x"}},
        {"class_name": "Conv2D", "name": "y", "inbound_nodes": [[["x", 0, 0, {}]]],
         "config": {"name": "y", **dtype, "filters": 2, "kernel_size": [3, 3], "strides": [2, 2],
                    "padding": "same", "data_format": "channels_last", "dilation_rate": [1, 1],
                    "groups": 1, "activation": "tanh", "use_bias": True,
                    "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
                    "bias_initializer": {"class_name": "Zeros", "config": {}},
                    "kernel_regularizer": None, "bias_regularizer": None,
                    "activity_regularizer": None, "kernel_constraint": None,
                    "bias_constraint": None}},
    ]  # fmt: skip
    config = {"name": "model", "trainable": True, "layers": layers}
    config |= {"input_layers": [["x", 0, 0]], "output_layers": [["y", 0, 0]]}
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": config})
        file.attrs["keras_version"], file.attrs["backend"] = "2.15.0", "tensorflow"
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [b"x", b"y"]
        weights.attrs["keras_version"], weights.attrs["backend"] = "2.15.0", "tensorflow"
        weights.create_group("x").attrs["weight_names"] = []
        own = weights.create_group("y")
        own.attrs["weight_names"] = [b"y/kernel:0", b"y/bias:0"]
        own["y/kernel:0"], own["y/bias:0"] = kernel, bias
    new = tmp_path / "new.onnx"
    export_foreign(tmp_path / "theirs.h5", KOALARIZATION, new, pictures)
    lightness = noise(1, 1, SIZE, SIZE)
    # "same" with stride 2 pads as TensorFlow does: below and to the right.
    padded = functional.pad(torch.from_numpy(lightness) / 50 - 1, (0, 1, 0, 1))
    weight = torch.from_numpy(kernel).permute(3, 2, 0, 1)
    answer = functional.conv2d(padded, weight, torch.from_numpy(bias), stride=2)
    ab = OnnxColorNetwork.load(new, "cpu").predict(lightness, 1.0)
    np.testing.assert_allclose(ab, 127 * torch.tanh(answer).numpy(), atol=TOLERANCE)


def test_the_command(recolor, tmp_path, pictures, keras):
    lightness = keras.Input((SIZE, SIZE, 1))
    ab = keras.layers.Conv2D(2, 3, padding="same")(lightness)
    keras.Model(lightness, ab).save(tmp_path / "theirs.keras")
    (tmp_path / "theirs.toml").write_text(
        f'size = {SIZE}\nanswer = "ab"\noffset = 50\nscale = 50\nanswer_scale = 127\n'
        'channels_last = true\nlicense = "MIT"\n'
    )
    model, folder = tmp_path / "new.onnx", tmp_path / "pictures"
    command = ("export", tmp_path / "theirs.keras", model, "--pictures", folder)
    profile = ("--profile", tmp_path / "theirs.toml")
    out, err = recolor(*command, *profile)
    assert out.decode().strip() == str(model)
    assert "Keras and onnxruntime differ by at most" in err
    assert "half precision" not in err
    recolor(folder / "0.png", "-m", model, "-o", tmp_path / "x.png", "--device", "cpu")
    assert OnnxColorNetwork.load(model, "cpu").manifest.license == "MIT"
    model.unlink()
    for arguments, words in (
        (command, "--profile"),
        ((*command, *profile, "--architecture", "film"), "exclude"),
        ((*command[:2], *command[1:], *profile), "take one file"),
        ((*command[:2], tmp_path / "x.safetensors", *profile), "must end in .onnx"),
        ((*command[:3], *profile), "real pictures"),
    ):
        _, err = recolor(*arguments, exit_code=2)
        assert words in err
    _, err = recolor(*command, "--profile", tmp_path / "gone.toml", exit_code=2)
    assert "gone.toml" in err
    assert "ddcolor" in err
    _, err = recolor(folder / "0.png", "-m", tmp_path / "theirs.toml", exit_code=4)
    assert "names no file" in err
    with (tmp_path / "theirs.toml").open("a") as file:
        file.write('file = "theirs.keras"\n')
    _, err = recolor(folder / "0.png", "-m", tmp_path / "theirs.toml", exit_code=4)
    assert "recolor export" in err
    assert not model.exists()


# What is refused.


class Restless(Theirs):
    def forward(self, x):
        return super().forward(x) + torch.rand_like(x[:, :1, ::2, ::2])


class TracedSize(Theirs):
    def forward(self, x):
        return super().forward(x) * torch.ones(32, 32)


@pytest.mark.parametrize(
    ("network", "values", "words"),
    [
        (Restless(), {}, "differ by up to"),
        (TracedSize(), {"stride": 32}, "does not accept 2 pictures of 32x64"),
        (Theirs(1, 5), {}, "its profile says ab with 2 channels"),
    ],
)
def test_networks_that_cannot_be_exported_leave_nothing(tmp_path, pictures, network, values, words):
    profile, path = ForeignProfile(SIZE, OutputKind.AB, **values), tmp_path / "theirs.onnx"
    save_onnx(network, path, profile)
    with pytest.raises(ModelError, match=words):
        export_foreign(path, profile, tmp_path / "new.onnx", pictures)
    assert [found for found in tmp_path.iterdir() if found.suffix == ".onnx"] == [path]


def test_onnx_files_that_do_not_fit(tmp_path, pictures):
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    values = [helper.make_tensor_value_info(n, 1, [1, 2, SIZE, SIZE]) for n in "xy"]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "theirs.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"once upon a time")
    for name, words in (
        ("theirs.onnx", r"shape \[1, 2, 64, 64\]"),
        ("bad.onnx", "cannot be loaded"),
        ("gone.onnx", "no file"),
    ):
        with pytest.raises(ModelError, match=words):
            export_foreign(
                tmp_path / name,
                ForeignProfile(SIZE, OutputKind.AB),
                tmp_path / "new.onnx",
                pictures,
            )


@pytest.mark.parametrize("name", ["x.pt", "x.pth", "x.pt2", "x.torchscript", "x.caffemodel"])
def test_other_kinds_of_files_are_refused(tmp_path, pictures, name):
    torch.save(Theirs().state_dict(), tmp_path / name)
    with pytest.raises(UsageError, match=r"not a kind of file.*\.onnx, \.keras") as caught:
        export_foreign(
            tmp_path / name, ForeignProfile(SIZE, OutputKind.AB), tmp_path / "new.onnx", pictures
        )
    assert "export it to ONNX" in caught.value.hint
    assert "--architecture" in caught.value.hint
