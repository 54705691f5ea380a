"""Weights that a training starts from: checkpoints, weights files, models, means."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from conftest import drawn, with_changes
from recolor_cli.color.ab_bins import AbBins
from recolor_cli.errors import ModelError
from recolor_cli.evaluation.pictures import load_pictures
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.training.checkpoint import load_checkpoint, load_initial_weights, load_mean
from recolor_cli.training.config import TrainConfig
from recolor_cli.training.export import export
from recolor_cli.training.networks import build_network
from recolor_cli.training.run_state import CHECKPOINT
from recolor_cli.training.train import train

BINS = AbBins.srgb()


@pytest.fixture(scope="module")
def checkpoints(shipped_checkpoint, tmp_path_factory):
    """Return the names of two checkpoints of one architecture with other weights."""
    saved = load_checkpoint(shipped_checkpoint)
    saved["average"]["head.weight"] *= 0.5
    path = tmp_path_factory.mktemp("other") / CHECKPOINT
    torch.save(saved, path)
    return str(shipped_checkpoint), str(path)


@pytest.fixture(scope="module")
def model(shipped_checkpoint, tmp_path_factory):
    """Return the model file of a checkpoint."""
    path = tmp_path_factory.mktemp("model")
    pictures = load_pictures([str(drawn(path / "pictures", 1, 50, 40))])
    export([str(shipped_checkpoint)], path / "tiny.onnx", pictures)
    return path / "tiny.onnx"


def test_the_mean_of_several_weighs_as_named(checkpoints, folder, tmp_path):
    first, second = checkpoints
    one, two = (load_initial_weights(name).weights["head.weight"] for name in checkpoints)
    pictures = load_pictures([str(folder)])[:2]
    export([first, second, second], tmp_path / "mean.onnx", pictures)
    exported = load_initial_weights(str(tmp_path / "mean.onnx")).weights["head.weight"]
    torch.testing.assert_close(exported, (one + 2 * two) / 3, rtol=1e-3, atol=1e-6)
    alone = OnnxColorNetwork.load(tmp_path / "mean.onnx", "cpu").manifest.training
    assert alone["figures"]["pictures"] == 2
    # The gate was of no use in the model, which has none.
    mean = load_mean([first, second, second, str(tmp_path / "mean.onnx")])
    expected = (2 * one + 4 * two) / 6
    torch.testing.assert_close(mean.weights["head.weight"], expected, rtol=1e-3, atol=1e-6)
    assert mean.samples == 12


def test_what_does_not_fit_has_no_mean(checkpoints, tmp_path):
    first, second = checkpoints
    for key, changed, words in (
        ("average", {"head.weight": torch.zeros(1)}, "different architectures"),
        ("centers", [[100.0, 100.0]], "different bins"),
    ):
        saved = load_checkpoint(Path(second))
        saved[key] = saved[key] | changed if key == "average" else changed + saved[key][1:]
        torch.save(saved, tmp_path / "changed.pt")
        with pytest.raises(ModelError, match=words):
            load_mean([first, str(tmp_path / "changed.pt")])


def test_what_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "x.pt").write_bytes(b"bad")
    torch.save({"other": 1}, tmp_path / "y.pt")
    for name in ("x.pt", "y.pt", "gone.pt"):
        with pytest.raises(ModelError, match=name):
            load_checkpoint(tmp_path / name)


def assert_as_stored(weight, exact):
    """Weights of a model file are rounded: large ones to 8 bits of their largest."""
    half_a_step = float(exact.abs().max()) / 127 / 2
    torch.testing.assert_close(weight, exact, rtol=1e-3, atol=1.01 * half_a_step)


def test_a_model_file_is_a_start_too(shipped_checkpoint, shipped_config, model, tmp_path):
    start, saved = load_initial_weights(str(model)), load_checkpoint(shipped_checkpoint)
    assert start.samples == 12
    np.testing.assert_allclose(start.prior, saved["prior"], atol=1e-7)
    floats = {k: v for k, v in saved["average"].items() if v.is_floating_point()}
    del floats["gate.weight"], floats["gate.bias"]  # not trained: the graph has no use for it
    assert start.weights.keys() == floats.keys()
    for key, value in floats.items():
        assert_as_stored(start.weights[key], value)
    step = with_changes(shipped_config, samples=2, validation=())
    train(step, tmp_path / "tuned", "cpu", init=str(model))
    assert load_checkpoint(tmp_path / "tuned" / CHECKPOINT)["earlier"] == 12
    (tmp_path / "bad.onnx").write_bytes(b"once upon a time")
    for name in ("gone", str(tmp_path / "bad.onnx")):
        with pytest.raises(ModelError):
            load_initial_weights(name)


def test_a_weights_file_is_a_start_too(
    shipped_checkpoint, shipped_config, model, recolor, tmp_path
):
    path = tmp_path / "tiny.safetensors"
    recolor("export", shipped_checkpoint, path)
    recolor("export", model, tmp_path / "again.safetensors")
    start, saved = load_initial_weights(str(path)), load_checkpoint(shipped_checkpoint)
    np.testing.assert_allclose(start.prior, saved["prior"], atol=1e-7)
    again = load_initial_weights(str(tmp_path / "again.safetensors"))
    assert start.samples == again.samples == 12
    floats = {k: v for k, v in saved["average"].items() if v.is_floating_point()}
    assert start.weights.keys() == floats.keys()
    assert floats.keys() - again.weights.keys() == {"gate.weight", "gate.bias"}
    floats = {k: v for k, v in floats.items() if k in again.weights}
    for key, value in floats.items():
        torch.testing.assert_close(start.weights[key], value, rtol=1e-3, atol=1e-6)
        assert_as_stored(again.weights[key], value)
    matrices = sum(v.numel() for v in floats.values() if v.ndim > 1)
    assert path.stat().st_size < 2.2 * matrices + 4 * 30_000  # half precision
    step = with_changes(shipped_config, samples=2, validation=())
    train(step, tmp_path / "tuned", "cpu", init=str(path))
    (tmp_path / "bad.safetensors").write_bytes(b"once upon a time")
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    for name in ("gone", "bad", "other"):
        with pytest.raises(ModelError, match=name):
            load_initial_weights(str(tmp_path / f"{name}.safetensors"))


def test_the_shipped_model_can_be_trained_on():
    network = build_network(
        TrainConfig(name="x", train=("x",), validation=(), samples=100), len(BINS), False
    )
    load_initial_weights("poster").load_into(network)
