"""CUDA without a card: sessions bound to the CPU's memory, and fake sessions that fall back."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from conftest import draw
from recolor_cli.color.lab import rgb_to_lightness
from recolor_cli.errors import DeviceError, InferenceError, ModelError
from recolor_cli.model import cuda, onnx_network, session
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.model.registry import build_path, find_model
from recolor_cli.system.device import Device

POSTER = find_model("poster")


@pytest.fixture
def bound_network():
    """A network that runs as it does on CUDA, but on the CPU."""
    network = OnnxColorNetwork.load(POSTER, "cpu")
    network._bound = cuda.BoundSession(network._session, Device.CPU, 0)
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
    assert 4 <= len(bound_network._bound._unused) <= 16  # buffers: 4 shapes, 4 threads
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
    monkeypatch.setattr(cuda, "_KEPT_BYTES", 50_000)
    for tensor in tensors:
        bound_network.predict(tensor, 0.38)
    assert sum(kept.size for kept in bound_network._bound._unused) <= 50_000
    assert len(made) > 2 * 4


def test_a_failure_bound_to_a_device_is_an_inference_error(bound_network):
    for wrong in (np.zeros((1, 3, 64, 64), np.float32), np.zeros((1, 1, 64, 64))):
        with pytest.raises(InferenceError, match="network failed"):
            bound_network.predict(wrong, 0.38)
    tensor = tensors_of_some_shapes(1)[0]
    expected = OnnxColorNetwork.load(POSTER, "cpu").predict(tensor, 0.38)
    np.testing.assert_allclose(bound_network.predict(tensor, 0.38), expected, atol=1e-3)


def test_every_error_of_onnxruntime_is_known():
    names = {error.__name__ for error in session.ORT_ERRORS}
    assert {"Fail", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "RuntimeException"} <= names


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

    def open_session(path, options, providers, enable_fallback):
        assert enable_fallback == 0
        if isinstance(providers[0], tuple):
            return FakeSession(["CPUExecutionProvider"])
        return real(path, options, providers=providers)

    monkeypatch.setattr(onnx_network, "why_no_cuda", lambda: "")
    monkeypatch.setattr(onnxruntime, "InferenceSession", open_session)


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

    bound = cuda.BoundSession
    monkeypatch.setattr(
        onnx_network, "BoundSession", lambda session, *_: bound(session, Device.CPU, 0)
    )
    real = onnxruntime.InferenceSession

    def open_session(path, options, providers, enable_fallback):
        if isinstance(providers[0], tuple):
            failing = Failing(["CUDAExecutionProvider"], noise=False)
            failing._real = real(path, options, ["CPUExecutionProvider"], enable_fallback=0)
            return failing
        return real(path, options, providers, enable_fallback)

    monkeypatch.setattr(onnxruntime, "InferenceSession", open_session)
    with pytest.raises(DeviceError, match="CUDNN_STATUS"):
        OnnxColorNetwork.load("poster", "cuda")


def test_cuda_takes_the_float16_build_of_a_name_and_a_path_as_it_is(fallback, monkeypatch):
    opened = []
    fake = onnxruntime.InferenceSession

    def spy(path, options, providers, enable_fallback):
        if isinstance(providers[0], tuple):
            opened.append(path)
        return fake(path, options, providers, enable_fallback)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    for model in ("poster", POSTER, "fruitnet"):
        with pytest.raises(DeviceError):
            OnnxColorNetwork.load(model, "cuda")
    assert opened == [str(build_path(POSTER, 16)), str(POSTER), str(find_model("fruitnet"))]


def test_a_broken_float16_build_is_not_blamed_on_cuda(fallback, monkeypatch, tmp_path):
    for path in (POSTER, build_path(POSTER, 16)):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv("RECOLOR_MODELS", str(tmp_path))
    assert "libcublasLt" in OnnxColorNetwork.load("poster", "auto").cpu_reason
    build = build_path(tmp_path / POSTER.name, 16)
    build.write_bytes(build.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"poster\.fp16\.onnx cannot be loaded"):
        OnnxColorNetwork.load("poster", "auto")
    assert OnnxColorNetwork.load("poster", "cpu").device == "cpu"


def test_a_broken_model_is_told_as_such_on_any_device(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_network, "why_no_cuda", lambda: "")
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


@pytest.mark.gpu
@pytest.mark.parametrize("model", ["poster", str(POSTER)], ids=["float16", "float32"])
def test_cuda_gives_the_same_colors(model):
    if reason := cuda.why_no_cuda():
        pytest.skip(reason)
    on_cuda, on_cpu = OnnxColorNetwork.load(model, "cuda"), OnnxColorNetwork.load(POSTER, "cpu")
    assert on_cuda.device == "cuda:0"
    random = np.random.default_rng(0)
    noise = random.uniform(0, 100, (2, 1, 256, 256)).astype(np.float32)
    pictures = [
        rgb_to_lightness(draw(256, width, seed))[None, None]
        for seed, width in enumerate((256, 192, 256, 192))
    ]
    with ThreadPoolExecutor(4) as pool:  # each shape twice, some at a time
        answers = list(pool.map(lambda tensor: on_cuda.predict(tensor, 0.38), [noise, *pictures]))
    for ab, tensor in zip(answers, [noise, *pictures], strict=True):
        difference = np.abs(ab - on_cpu.predict(tensor, 0.38))
        assert difference.mean() < 0.2
        assert difference.max() < 5
    one, other = (network.distribution(pictures[0]) for network in (on_cuda, on_cpu))
    assert np.abs(one.decode(0.38) - other.decode(0.38)).mean() < 0.2
