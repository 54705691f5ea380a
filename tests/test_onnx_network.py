import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from conftest import draw
from recolor_cli.color.annealed_mean import annealed_mean
from recolor_cli.color.lab import rgb_to_lightness
from recolor_cli.errors import DeviceError, InferenceError, ModelError, UsageError
from recolor_cli.model import onnx_network as room
from recolor_cli.model.manifest import available_models, find_model, twin_of
from recolor_cli.model.onnx_network import OnnxColorNetwork, read_manifest
from recolor_cli.recolorizer import network_input
from recolor_cli.system.device import Device, parse_device
from recolor_cli.types import ImageSize

POSTER = find_model("poster")


@pytest.fixture(
    scope="module",
    params=[POSTER, twin_of(POSTER, 8), twin_of(POSTER, 16)],
    ids=["float", "int8", "half"],
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


def test_the_cpu_takes_the_twin_in_8_bits_of_a_name_and_a_path_as_it_is():
    tensor = rgb_to_lightness(draw(256, 256))[None, None]
    by_name, plain, twin = (
        OnnxColorNetwork.load(model, "cpu").predict(tensor, 0.38)
        for model in ("poster", POSTER, twin_of(POSTER, 8))
    )
    np.testing.assert_array_equal(by_name, twin)
    assert 0 < np.abs(plain - twin).mean() < 2
    assert "poster" in available_models()
    assert not [name for name in available_models() if "int8" in name or "fp16" in name]


def test_the_twin_in_half_precision_gives_nearly_the_same_colors():
    tensor = rgb_to_lightness(draw(256, 256))[None, None]
    plain, twin = (
        OnnxColorNetwork.load(model, "cpu").predict(tensor, 0.38)
        for model in (POSTER, twin_of(POSTER, 16))
    )
    assert 0 < np.abs(plain - twin).mean() < 0.2


def test_the_default_model_pads_to_multiples_of_its_stride(poster_network):
    manifest = poster_network.manifest
    box = manifest.box(ImageSize(300, 200))
    assert (box.canvas.height, box.canvas.width) == (256, 192)
    ab = poster_network.predict(network_input(draw(300, 200), box, 50.0), 0.38)
    assert ab.shape == (1, 2, 64, 48)


def test_a_regression_has_no_distribution():
    network = OnnxColorNetwork.load("fruitnet", "cpu")
    with pytest.raises(ModelError, match="fruitnet gives one color"):
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


@pytest.fixture
def bound_network():
    """A network that runs as it does on CUDA, but on the CPU."""
    network = OnnxColorNetwork.load(POSTER, "cpu")
    network._bound = room._BoundSession(network._session, Device.CPU, 0)
    return network


def tensors_of_some_shapes(count):
    random = np.random.default_rng(0)
    shapes = [(1, 1, 64, 64), (2, 1, 64, 64), (1, 1, 64, 96), (1, 1, 96, 64)]
    return [
        random.uniform(0, 100, shapes[i % len(shapes)]).astype(np.float32) for i in range(count)
    ]


def test_bound_to_a_device_a_network_gives_the_same_to_each_of_several_threads(bound_network):
    plain = OnnxColorNetwork.load(POSTER, "cpu")
    tensors = tensors_of_some_shapes(24)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda tensor: bound_network.predict(tensor, 0.38), tensors))
    for ab, tensor in zip(found, tensors, strict=True):  # also when others have run since
        np.testing.assert_allclose(ab, plain.predict(tensor, 0.38), atol=1e-3)
    assert 4 <= len(bound_network._bound._free) <= 16  # buffers: 4 shapes, 4 threads
    one, other = (n.distribution(tensors[0]) for n in (bound_network, plain))
    np.testing.assert_allclose(one.logits, other.logits, atol=1e-4)
    np.testing.assert_allclose(one.decode(0.5), other.decode(0.5), atol=1e-3)


def test_buffers_are_used_again_and_few_are_kept(bound_network, monkeypatch):
    made = []
    real = onnxruntime.OrtValue.ortvalue_from_shape_and_type
    monkeypatch.setattr(
        onnxruntime.OrtValue,
        "ortvalue_from_shape_and_type",
        lambda *args: made.append(args[0]) or real(*args),
    )
    tensors = tensors_of_some_shapes(8)
    for tensor in tensors:
        bound_network.predict(tensor, 0.38)
    assert len(made) == 2 * 4  # lightness and temperature, once a shape
    bound_network.predict(tensors[0].astype(np.float32)[:, :, ::-1], 0.38)  # not contiguous
    assert len(made) == 2 * 4
    monkeypatch.setattr(room, "_KEPT", 50_000)
    for tensor in tensors:
        bound_network.predict(tensor, 0.38)
    assert sum(kept.size for kept in bound_network._bound._free) <= 50_000
    assert len(made) > 2 * 4


def test_a_failure_bound_to_a_device_is_an_inference_error(bound_network):
    for wrong in (np.zeros((1, 3, 64, 64), np.float32), np.zeros((1, 1, 64, 64))):
        with pytest.raises(InferenceError, match="network failed"):
            bound_network.predict(wrong, 0.38)
    tensor = tensors_of_some_shapes(1)[0]
    expected = OnnxColorNetwork.load(POSTER, "cpu").predict(tensor, 0.38)
    np.testing.assert_allclose(bound_network.predict(tensor, 0.38), expected, atol=1e-3)


def test_every_error_of_onnxruntime_is_known():
    names = {error.__name__ for error in room._ORT_ERRORS}
    assert {"Fail", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "RuntimeException"} <= names


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("auto", (Device.AUTO, 0)),
        ("cpu", (Device.CPU, 0)),
        ("cuda", (Device.CUDA, 0)),
        ("cuda:3", (Device.CUDA, 3)),
        ("CPU", (Device.CPU, 0)),
    ],
)
def test_devices(name, device):
    assert parse_device(name) == device


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", ""])
def test_other_devices_are_refused(name):
    with pytest.raises(UsageError, match="no device"):
        parse_device(name)


class FakeSession:
    """A session of onnxruntime after a fallback: CUDA was asked for, the CPU came."""

    def __init__(self, providers, noise=True):
        self._providers = providers
        if noise:  # as onnxruntime does, on both, below Python
            os.write(1, b"EP Error: falling back\n")
            os.write(2, b"[E:onnxruntime] libcublasLt.so.13: cannot open shared object file: No\n")

    def get_providers(self):
        return self._providers


@pytest.fixture
def fallback(monkeypatch):
    """Let CUDA look possible, and then not be there in the session."""
    real = onnxruntime.InferenceSession

    def session(path, options, providers, enable_fallback):
        assert enable_fallback == 0
        if isinstance(providers[0], tuple):
            return FakeSession(["CPUExecutionProvider"])
        return real(path, options, providers=providers)

    monkeypatch.setattr(room, "why_no_cuda", lambda: "")
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)


def test_a_silent_fallback_is_found_out(fallback, capfd):
    with pytest.raises(DeviceError, match="libcublasLt") as caught:
        OnnxColorNetwork.load("poster", "cuda")
    assert "recolor-cli[cuda]" in caught.value.hint
    network = OnnxColorNetwork.load("poster", "auto")
    assert network.device == "cpu"
    assert "libcublasLt" in network.cpu_reason
    assert capfd.readouterr() == ("", "")  # nothing of onnxruntime's on our streams


def test_an_error_at_the_first_answer_is_a_device_error(fallback, monkeypatch):
    class Failing(FakeSession):
        def get_modelmeta(self):
            return self._real.get_modelmeta()

        def get_inputs(self):
            return self._real.get_inputs()

        def get_outputs(self):
            return self._real.get_outputs()

        def io_binding(self):
            return self._real.io_binding()

        def run_with_iobinding(self, binding):
            raise ort_state.RuntimeException("CUDNN_STATUS_NOT_INITIALIZED")

    bound = room._BoundSession
    monkeypatch.setattr(room, "_BoundSession", lambda session, *_: bound(session, Device.CPU, 0))
    real = onnxruntime.InferenceSession

    def session(path, options, providers, enable_fallback):
        if isinstance(providers[0], tuple):
            failing = Failing(["CUDAExecutionProvider"], noise=False)
            failing._real = real(path, options, ["CPUExecutionProvider"], enable_fallback=0)
            return failing
        return real(path, options, providers, enable_fallback)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    with pytest.raises(DeviceError, match="CUDNN_STATUS"):
        OnnxColorNetwork.load("poster", "cuda")


def test_cuda_takes_the_twin_in_16_bits_of_a_name_and_a_path_as_it_is(fallback, monkeypatch):
    opened = []
    session = onnxruntime.InferenceSession

    def spy(path, options, providers, enable_fallback):
        if isinstance(providers[0], tuple):
            opened.append(path)
        return session(path, options, providers, enable_fallback)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    for model in ("poster", POSTER, "fruitnet"):
        with pytest.raises(DeviceError):
            OnnxColorNetwork.load(model, "cuda")
    assert opened == [str(twin_of(POSTER, 16)), str(POSTER), str(find_model("fruitnet"))]


def test_a_stale_twin_is_no_fault_of_cuda(fallback, monkeypatch, tmp_path):
    for path in (POSTER, twin_of(POSTER, 16)):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv("RECOLOR_MODELS", str(tmp_path))
    assert "libcublasLt" in OnnxColorNetwork.load("poster", "auto").cpu_reason
    (tmp_path / POSTER.name).write_bytes(twin_of(POSTER, 8).read_bytes())
    with pytest.raises(ModelError, match=r"poster\.fp16\.onnx cannot be loaded"):
        OnnxColorNetwork.load("poster", "auto")
    assert OnnxColorNetwork.load("poster", "cpu").device == "cpu"


def test_a_broken_model_is_told_as_such_on_any_device(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "why_no_cuda", lambda: "")
    path = tmp_path / "x.onnx"
    path.write_bytes(b"once upon a time")
    with pytest.raises(ModelError):
        OnnxColorNetwork.load(path, "auto")


def test_without_a_driver_the_reason_is_given(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(DeviceError, match="no CUDA provider"):
        OnnxColorNetwork.load("poster", "cuda:1")


def test_models_can_be_loaded_by_several_threads(fallback, capfd):
    with ThreadPoolExecutor(4) as pool:
        networks = list(pool.map(lambda _: OnnxColorNetwork.load("poster", "auto"), range(4)))
    assert [network.device for network in networks] == ["cpu"] * 4
    os.write(1, b"still here")
    assert capfd.readouterr().out == "still here"


def test_captured_output_comes_back(capfd):
    with room.captured_output() as lines:
        print("one")  # noqa: T201
        sys.stdout.flush()
        os.write(2, b"two\n")
    assert lines == ["one", "two"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.gpu
@pytest.mark.parametrize("model", ["poster", str(POSTER)], ids=["half", "float"])
def test_cuda_gives_the_same_colors(model):
    if reason := room.why_no_cuda():
        pytest.skip(reason)
    cuda, cpu = OnnxColorNetwork.load(model, "cuda"), OnnxColorNetwork.load(POSTER, "cpu")
    assert cuda.device == "cuda:0"
    random = np.random.default_rng(0)
    noise = random.uniform(0, 100, (2, 1, 256, 256)).astype(np.float32)
    pictures = [
        rgb_to_lightness(draw(256, width, seed))[None, None]
        for seed, width in enumerate((256, 192, 256, 192))
    ]
    with ThreadPoolExecutor(4) as pool:  # each shape twice, some at a time
        answers = list(pool.map(lambda tensor: cuda.predict(tensor, 0.38), [noise, *pictures]))
    for ab, tensor in zip(answers, [noise, *pictures], strict=True):
        difference = np.abs(ab - cpu.predict(tensor, 0.38))
        assert difference.mean() < 0.2
        assert difference.max() < 5
    one, other = (network.distribution(pictures[0]) for network in (cuda, cpu))
    assert np.abs(one.decode(0.38) - other.decode(0.38)).mean() < 0.2
