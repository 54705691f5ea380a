"""Model files from checkpoints: the same colors, the figures, the stored weights."""

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from conftest import draw, encoded, write_config
from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.lab import rgb_to_gray
from recolor_cli.errors import ModelError, UsageError
from recolor_cli.evaluation.pictures import load_pictures
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.training import export as export_module
from recolor_cli.training.checkpoint import load_checkpoint, load_initial_weights
from recolor_cli.training.compression import weight_storage as storage_module
from recolor_cli.training.compression.weight_storage import (
    WeightStorage,
    restore_weights,
    round_weights,
    store_weights,
)
from recolor_cli.training.config import TrainConfig
from recolor_cli.training.export import export
from recolor_cli.training.model_wrapper import wrap_for_export
from recolor_cli.training.networks import build_network
from recolor_cli.training.parity import TOLERANCE, Parity
from recolor_cli.training.run_state import CHECKPOINT

BINS = AbBins.srgb()


def test_an_exported_model_gives_the_same_colors_and_describes_itself(checkpoint, folder, tmp_path):
    path = tmp_path / "tiny.onnx"
    parity = export([str(checkpoint)], path, load_pictures([str(folder)]))
    assert parity.max_difference <= TOLERANCE
    assert parity.inputs == 4 + 6
    network = OnnxColorNetwork.load(path, "cpu")
    assert network.manifest.name == "tiny"
    assert network.manifest.training["samples"] == 12
    figures = network.manifest.training["figures"]
    assert figures["pictures"] == 6
    assert 0 < figures["l2_over_gray"] < 5
    assert figures["chroma_ratio"] > 0
    assert sum(network.manifest.prior) == pytest.approx(1, abs=1e-3)
    types = {t.data_type for t in onnx.load(path).graph.initializer if len(t.dims) == 4}
    assert onnx.TensorProto.FLOAT16 in types  # half the bytes on disk


def test_calibrated_logits_are_smaller_and_a_start_has_those_of_the_training(
    checkpoint, folder, tmp_path
):
    pictures = load_pictures([str(folder)])[:1]
    saved = load_checkpoint(checkpoint)
    tensor = np.random.default_rng(0).uniform(0, 100, (1, 1, 64, 64)).astype(np.float32)
    answers, starts = [], []
    for calibration in (1.0, 2.0):
        saved["config"]["calibration"] = calibration
        torch.save(saved, tmp_path / "c.pt")
        export([str(tmp_path / "c.pt")], tmp_path / "c.onnx", pictures)
        network = OnnxColorNetwork.load(tmp_path / "c.onnx", "cpu")
        answers.append(network.predict(tensor, 0.4 / calibration))
        starts.append(load_initial_weights(str(tmp_path / "c.onnx")).weights["head.weight"])
    np.testing.assert_allclose(answers[0], answers[1], atol=0.05)
    torch.testing.assert_close(starts[0], starts[1], rtol=1e-3, atol=1e-6)


def test_an_export_that_differs_is_not_finished(checkpoint, folder, tmp_path, monkeypatch):
    pictures = load_pictures([str(folder)])[:1]
    for parity, words in (
        (Parity(1, 0.02), r"differ by up to 0\.0200"),
        (Parity(1, float("nan")), "differ by up to nan"),
    ):
        monkeypatch.setattr(export_module, "_compare", lambda *args, parity=parity: parity)
        with pytest.raises(ModelError, match=words):
            export([str(checkpoint)], tmp_path / "tiny.onnx", pictures)
    monkeypatch.undo()
    monkeypatch.setattr(export_module, "ROUNDING", 0.0)
    with pytest.raises(ModelError, match="half precision"):
        export([str(checkpoint)], tmp_path / "tiny.onnx", pictures)
    assert not list(tmp_path.glob("*.onnx"))
    assert not list(tmp_path.glob(".*"))


def test_the_comparison_sees_a_difference(checkpoint, folder, tmp_path):
    path = tmp_path / "tiny.onnx"
    pictures = load_pictures([str(folder)])[:1]
    export([str(checkpoint)], path, pictures)
    config = TrainConfig.from_values(load_checkpoint(checkpoint)["config"], "test")
    session = OnnxColorNetwork.load(path, "cpu")
    network = build_network(config, len(BINS), False)
    other = wrap_for_export(network, session.manifest).eval()
    parity = export_module._compare(other, session, pictures)
    assert parity.max_difference > TOLERANCE
    with torch.no_grad():
        other.network.head.bias.fill_(float("nan"))
    parity = export_module._compare(other, session, pictures)
    assert np.isnan(parity.max_difference)


def test_large_weights_are_stored_in_8_bits_small_ones_in_half_precision():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(64, 128, 3), nn.BatchNorm2d(128), nn.Conv2d(128, 2, 3))
    with torch.no_grad():
        network[0].weight[3] *= 100  # a channel of another size has a scale of its own
        network[0].weight[4] = 0
        network[0].weight[:, 5] /= 1000  # so has one that reads large values
    exact = {k: v.clone() for k, v in network.state_dict().items()}
    stored = round_weights(network, WeightStorage.INT8)
    rounded = network.state_dict()
    error = rounded["0.weight"] - exact["0.weight"]
    assert error[3].std() < 0.01 * exact["0.weight"][3].std()
    assert error[4].abs().max() == 0
    assert error[:, 5].std() < 0.01 * exact["0.weight"][:, 5].std()
    torch.testing.assert_close(rounded["2.weight"], exact["2.weight"].half().float())
    torch.testing.assert_close(rounded["1.weight"], exact["1.weight"])

    names = [f"network.{name}" for name in rounded]
    tensors = [
        numpy_helper.from_array(v.numpy(), n) for n, v in zip(names, rounded.values(), strict=True)
    ]
    model = helper.make_model(helper.make_graph([], "g", [], [], tensors))
    store_weights(model, stored)
    kinds = {t.name: t.data_type for t in model.graph.initializer if t.data_type != 7}
    assert kinds["network.0.weight.int8"] == onnx.TensorProto.INT8
    assert kinds["network.2.weight.half"] == onnx.TensorProto.FLOAT16
    assert "network.0.weight" not in kinds
    again = restore_weights(model)
    for name, value in rounded.items():
        torch.testing.assert_close(again[name], value.float(), rtol=0, atol=0)


def test_where_8_bits_change_the_color_half_precision_is_taken(
    checkpoint, folder, tmp_path, monkeypatch
):
    pictures = load_pictures([str(folder)])[:1]
    monkeypatch.setattr(storage_module, "_LARGE", 0)  # its weights are few
    path = tmp_path / "tiny.onnx"
    parity = export([str(checkpoint)], path, pictures)
    assert parity.storage is WeightStorage.INT8
    types = {t.data_type for t in onnx.load(path).graph.initializer if len(t.dims) == 4}
    assert onnx.TensorProto.INT8 in types
    start, saved = load_initial_weights(str(path)), load_checkpoint(checkpoint)
    weight = saved["average"]["up.0.2.weight"]
    torch.testing.assert_close(
        start.weights["up.0.2.weight"], weight, rtol=0, atol=float(weight.abs().max()) / 127
    )
    monkeypatch.setattr(export_module, "ROUNDING", 0.9 * parity.rounding)
    assert export([str(checkpoint)], path, pictures).storage is WeightStorage.HALF


def test_a_model_of_gray_pictures_tells_no_figures(recolor, checkpoint, tmp_path, monkeypatch):
    folder = tmp_path / "gray"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.png").write_bytes(encoded(rgb_to_gray(draw(50, 40, seed=i)), "PNG"))
    (folder / "tiny.png").write_bytes(encoded(draw(3, 3), "PNG"))
    recolor("export", checkpoint, tmp_path / "gray.onnx", "--pictures", folder)
    figures = OnnxColorNetwork.load(tmp_path / "gray.onnx", "cpu").manifest.training["figures"]
    assert figures["pictures"] == 3
    monkeypatch.setenv("RECOLOR_MODELS", str(tmp_path))
    (tmp_path / ".unfinished.onnx").write_bytes(b"")
    out, _ = recolor("models")
    assert b"gray" in out


def test_a_network_of_one_size_is_exported(shipped_checkpoint, folder, tmp_path):
    saved = load_checkpoint(shipped_checkpoint)
    saved["config"]["run_size"] = 32
    torch.save(saved, tmp_path / "least.pt")
    names, pictures = [str(tmp_path / "least.pt")], load_pictures([str(folder)])[:1]
    assert export(names, tmp_path / "least.onnx", pictures).inputs == 3 + 1


def test_export_wants_real_pictures(checkpoint, tmp_path):
    with pytest.raises(UsageError, match="real pictures"):
        export([str(checkpoint)], tmp_path / "tiny.onnx", [])


def test_the_commands(recolor, config, folder, tmp_path):
    write_config(config, tmp_path / "c.toml")
    out, err = recolor("train", tmp_path / "c.toml", "--out", tmp_path / "run", "--device", "cpu")
    assert out.decode().strip() == str(tmp_path / "run")
    assert "validation: balanced AuC" in err
    model = tmp_path / "own.onnx"
    _, err = recolor("export", tmp_path / "run" / CHECKPOINT, model, "--pictures", folder)
    assert "differ by at most" in err
    out, _ = recolor(folder / "0.png", "-m", model, "-o", tmp_path / "x.png", "--device", "cpu")
    assert (tmp_path / "x.png").is_file()
    recolor("train", tmp_path / "gone.toml", exit_code=2)
    run = ("train", tmp_path / "c.toml", "--out", tmp_path / "set", "--device", "cpu")
    recolor(*run, "--set", "samples=4", "--set", "only=['0.png']", "--set", "name=mine")
    saved = load_checkpoint(tmp_path / "set" / CHECKPOINT)["config"]
    assert (saved["samples"], saved["only"], saved["name"]) == (4, ("0.png",), "mine")
    for setting in ("samples", "=3", "a b=3", "sample=3", "samples=many"):
        recolor(*run, "--set", setting, exit_code=2)
    recolor("export", tmp_path / "run" / CHECKPOINT, "x.onnx", exit_code=2)
    recolor("export", tmp_path / "run" / CHECKPOINT, "x.bin", "--pictures", folder, exit_code=2)
