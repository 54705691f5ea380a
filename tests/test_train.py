"""The training loop: what a run writes, resumes, starts from and refuses."""

import json
import signal
import threading
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import draw, encoded, with_changes, write_config
from recolor_cli.color.lab import rgb_to_gray
from recolor_cli.errors import (
    DeviceError,
    InputError,
    ModelError,
    NoInputsError,
    OutputError,
    UsageError,
)
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.training.checkpoint import load_checkpoint
from recolor_cli.training.config import TrainConfig
from recolor_cli.training.objectives import share_of_photographs
from recolor_cli.training.progress import LOG, TrainingProgress
from recolor_cli.training.run_state import CHECKPOINT
from recolor_cli.training.train import train


def test_the_gate_alone_is_trained_where_photographs_are_named(
    shipped_checkpoint, shipped_config, tmp_path
):
    changed = with_changes(
        shipped_config, photographs=("0.png", "1.png"), photo_strength=0.5, learning_rate=0.1
    )
    train(changed, tmp_path / "gate", "cpu", init=str(shipped_checkpoint))
    before = load_checkpoint(shipped_checkpoint)["average"]
    after = load_checkpoint(tmp_path / "gate" / CHECKPOINT)["average"]
    changes = {k for k, v in after.items() if not torch.equal(v, before[k])}
    assert changes == {"gate.weight", "gate.bias"}  # and no norm has gathered statistics


def test_of_whole_pictures_the_decoder_alone_can_learn(
    shipped_checkpoint, shipped_config, folder, tmp_path
):
    Image.fromarray(draw(40, 64)).save(folder / "wide.png")  # another canvas
    changed = with_changes(shipped_config, whole_pictures=True, frozen_blocks=16)
    train(changed, tmp_path / "whole", "cpu", init=str(shipped_checkpoint))
    before = load_checkpoint(shipped_checkpoint)["average"]
    after = load_checkpoint(tmp_path / "whole" / CHECKPOINT)["average"]
    changes = {k for k, v in after.items() if not torch.equal(v, before[k])}
    assert {k.split(".")[0] for k in changes} == {"decoder", "overview", "head"}
    assert not [k for k in changes if "running" in k]  # norms keep their statistics
    with pytest.raises(UsageError, match="whole_pictures"):
        with_changes(shipped_config, architecture="fruitnet", whole_pictures=True)


def test_the_gate_wants_photographs_and_others(
    shipped_checkpoint, shipped_config, config, tmp_path
):
    for names in (("png",), ("jpeg",)):
        changed = with_changes(shipped_config, photographs=names)
        with pytest.raises(NoInputsError, match="are photographs by their names"):
            train(changed, tmp_path / "gate", "cpu", init=str(shipped_checkpoint))
    with pytest.raises(UsageError, match="gate"):
        with_changes(config, architecture="film", photo_strength=0.5)


def test_the_gate_wants_a_network_that_it_is_for(shipped_config, tmp_path):
    changed = with_changes(shipped_config, photographs=("0.png",))
    with pytest.raises(UsageError, match="only the gate of a trained network"):
        train(changed, tmp_path / "gate", "cpu")


def test_a_run_from_before_the_gate_cannot_be_gone_on_with(
    shipped_checkpoint, shipped_config, tmp_path
):
    saved = load_checkpoint(shipped_checkpoint)
    for weights in (saved["network"], saved["average"]):
        del weights["gate.weight"], weights["gate.bias"]
    (tmp_path / "old").mkdir()
    torch.save(saved, tmp_path / "old" / CHECKPOINT)
    with pytest.raises(UsageError, match="another version"):
        train(shipped_config, tmp_path / "old", "cpu")
    start = str(tmp_path / "old" / CHECKPOINT)
    train(with_changes(shipped_config, samples=2), tmp_path / "new", "cpu", init=start)


def test_a_run_leaves_checkpoint_log_and_sheets(config, tmp_path):
    reports: list[TrainingProgress] = []
    config = with_changes(config, validate_every=6)
    train(config, tmp_path / "run", "cpu", report=reports.append)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        CHECKPOINT, LOG, "samples-000000006.png", "samples-000000012.png",
    ]  # fmt: skip
    assert reports[-1].samples == 12
    assert reports[-1].figures.pictures == 2
    assert reports[-1].learning_rate == pytest.approx(0, abs=1e-4)
    assert 0 < reports[0].waiting < 1
    assert reports[0].remaining_s == pytest.approx((12 - reports[0].samples) / reports[0].rate)
    log = [json.loads(line) for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    assert log[-1]["figures"]["balanced_auc"] == reports[-1].figures.balanced_auc
    with Image.open(tmp_path / "run" / "samples-000000012.png") as sheet:
        assert sheet.width >= 3 * 40  # gray | prediction | truth


def test_a_resumed_run_ends_as_an_uninterrupted_one(shipped_checkpoint, shipped_config, tmp_path):
    config = with_changes(shipped_config, checkpoint_every=4, validate_every=6)

    class Stop(Exception):
        pass

    def stop(progress):
        if progress.samples >= 6:
            raise Stop

    with pytest.raises(Stop):  # in the validation of sample 6, before which it was saved
        train(config, tmp_path / "parts", "cpu", report=stop)
    assert load_checkpoint(tmp_path / "parts" / CHECKPOINT)["samples"] == 6
    train(config, tmp_path / "parts", "cpu")
    whole, parts = map(load_checkpoint, (shipped_checkpoint, tmp_path / "parts" / CHECKPOINT))
    assert whole["samples"] == parts["samples"] == 12
    for key, value in whole["average"].items():
        torch.testing.assert_close(parts["average"][key], value, rtol=1e-4, atol=1e-5)


def test_an_interrupt_saves_first(config, tmp_path):
    config, interrupt = with_changes(config, validate_every=6), threading.Event()
    arguments = {"report": lambda progress: interrupt.set(), "interrupts": nullcontext(interrupt)}
    assert not train(config, tmp_path / "run", "cpu", **arguments)
    saved = load_checkpoint(tmp_path / "run" / CHECKPOINT)
    assert saved["samples"] == 6
    assert saved["figures"]["pictures"] == 2
    assert train(config, tmp_path / "run", "cpu")


@pytest.fixture
def ctrl_c():
    """Let SIGINT interrupt, as in a shell, and restore what pytest had set."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, previous)


def test_ctrl_c_within_a_step_neither_loses_nor_repeats_it(
    recolor, ctrl_c, config, checkpoint, tmp_path, monkeypatch
):
    config = with_changes(config, validation=[])
    counted = 0
    step = torch.optim.AdamW.step

    def interrupted_step(*args, **kwargs):
        nonlocal counted
        result = step(*args, **kwargs)
        counted += 1
        if counted == 3:  # the weights are new, the number of the step is old
            ctrl_c()
        return result

    monkeypatch.setattr(torch.optim.AdamW, "step", interrupted_step)
    command = ("train", write_config(config, tmp_path / "c.toml"), "--out", tmp_path / "parts",
               "--device", "cpu")  # fmt: skip
    _, err = recolor(*command, exit_code=130)
    assert "interrupted" in err
    assert load_checkpoint(tmp_path / "parts" / CHECKPOINT)["step"] == counted == 3
    recolor(*command)
    assert counted == 6
    whole, parts = load_checkpoint(checkpoint), load_checkpoint(tmp_path / "parts" / CHECKPOINT)
    for key, value in whole["average"].items():
        torch.testing.assert_close(parts["average"][key], value, rtol=1e-4, atol=1e-5)


def test_the_log_has_null_where_a_figure_is_nan(config, tmp_path):
    gray = tmp_path / "gray"
    gray.mkdir()
    (gray / "0.png").write_bytes(encoded(rgb_to_gray(draw(50, 40)), "PNG"))
    reports: list[TrainingProgress] = []
    changed = with_changes(config, samples=2, validation=[str(gray)])
    train(changed, tmp_path / "run", "cpu", report=reports.append)
    (line,) = (tmp_path / "run" / LOG).read_text().splitlines()
    logged = json.loads(line, parse_constant=pytest.fail)  # called for NaN and Infinity
    assert np.isnan(reports[0].figures.one_class)
    assert logged["figures"]["one_class"] is None
    assert logged["figures"]["l2"] == reports[0].figures.l2
    diverged = replace(reports[0], loss=float("inf"), figures=None)
    assert json.loads(diverged.to_json(), parse_constant=pytest.fail)["loss"] is None


def test_the_gate_weighs_the_pictures_that_are_drawn(shipped_config):
    pictures = [
        Picture(f"{part}/{i}", b"")
        for part, n in (("posters", 90), ("photos", 10))
        for i in range(n)
    ]
    config = with_changes(
        shipped_config, photographs=("photos/",), shares={"posters/": 0.5, "photos/": 0.5}
    )
    assert share_of_photographs(pictures, config) == 0.5
    with pytest.raises(NoInputsError, match="0% of the pictures that are drawn"):
        share_of_photographs(pictures, with_changes(config, shares={"posters/": 1.0}))


def test_a_run_has_the_folder_of_its_config(recolor, config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = with_changes(config, samples=2, validation=[])
    out, _ = recolor("train", write_config(config, tmp_path / "my.toml"), "--device", "cpu")
    assert out == b"runs/my\n"
    assert (tmp_path / "runs" / "my" / CHECKPOINT).exists()


def test_a_folder_has_one_run_at_a_time(config, tmp_path):
    errors = []

    def train_again(progress):
        with pytest.raises(OutputError, match="another run trains in") as error:
            train(config, tmp_path / "run", "cpu")
        errors.append(error)

    train(with_changes(config, samples=2), tmp_path / "run", "cpu", report=train_again)
    assert errors
    assert ".lock" not in {path.name for path in (tmp_path / "run").iterdir()}


def test_unreadable_pictures_are_named_once_and_left_out(config, folder, tmp_path):
    (folder / "1.png").write_bytes(b"<html>")
    (folder / "4.png").unlink()
    (folder / "4.png").touch()
    warnings: list[str] = []
    config = with_changes(config, validation=[], batch_size=6, samples=24)
    assert train(config, tmp_path / "run", "cpu", warn=warnings.append)
    assert sorted(text.split(":")[0][-5:] for text in warnings) == ["1.png", "4.png"]
    for path in folder.iterdir():
        path.write_bytes(b"<html>")
    with pytest.raises(InputError, match="no picture can be read"):
        train(config, tmp_path / "none", "cpu")


def test_weights_that_are_no_numbers_do_not_replace_a_checkpoint(config, tmp_path, monkeypatch):
    config = with_changes(config, validation=[], checkpoint_every=2)
    step, steps = torch.optim.AdamW.step, []

    def diverge(self, *args, **kwargs):
        result = step(self, *args, **kwargs)
        steps.append(None)
        if len(steps) == 3:
            with torch.no_grad():
                self.param_groups[0]["params"][0].fill_(torch.nan)
        return result

    monkeypatch.setattr(torch.optim.AdamW, "step", diverge)
    with pytest.raises(ModelError, match="diverged before sample 6"):
        train(config, tmp_path / "run", "cpu")
    saved = load_checkpoint(tmp_path / "run" / CHECKPOINT)
    assert saved["samples"] == 4
    assert all(value.isfinite().all() for value in saved["network"].values())


def test_a_run_says_what_it_began_with(shipped_checkpoint, shipped_config, folder, tmp_path):
    config = with_changes(shipped_config, validation=[])
    out, interrupt, warnings = tmp_path / "run", threading.Event(), []
    stop = {"report": lambda progress: interrupt.set(), "report_every_s": 0.0}
    start = str(shipped_checkpoint)
    assert not train(config, out, "cpu", start, **stop, interrupts=nullcontext(interrupt))
    with pytest.raises(UsageError, match=r"began with .*checkpoint\.pt, not poster"):
        train(config, out, "cpu", "poster")
    (folder / "5.png").unlink()
    assert train(config, out, "cpu", warn=warnings.append)
    assert warnings == [
        "the run began with 6 pictures; these 5 are others, so that their order changes"
    ]


def test_whole_pictures_have_their_drop_path(shipped_config, tmp_path):
    losses = []
    for share in (0.0, 0.9):
        run = with_changes(
            shipped_config, samples=2, validation=[], whole_pictures=True, frozen_blocks=5,
            drop_path=share,
        )  # fmt: skip
        train(run, tmp_path / str(share), "cpu", report=lambda p: losses.append(p.loss))
    assert abs(losses[0] - losses[1]) > 1e-5


def test_values_without_effect_are_told(config, tmp_path):
    warnings: list[str] = []
    config = with_changes(config, samples=2, validation=[], drop_path=0.5)
    train(config, tmp_path / "run", "cpu", warn=warnings.append)
    assert warnings == ["drop_path of the config: without effect on this run"]


def test_a_folder_that_cannot_be_made_is_an_output_error(config, tmp_path):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(OutputError, match="cannot write"):
            train(config, out, "cpu")


def test_a_validation_is_not_begun_after_an_interrupt(config, tmp_path, monkeypatch):
    config, interrupt = with_changes(config, validate_every=2), threading.Event()
    step = torch.optim.AdamW.step

    def interrupted_step(*args, **kwargs):
        interrupt.set()
        return step(*args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", interrupted_step)
    assert not train(config, tmp_path / "run", "cpu", interrupts=nullcontext(interrupt))
    saved = load_checkpoint(tmp_path / "run" / CHECKPOINT)
    assert (saved["samples"], saved["figures"]) == (2, None)


def test_a_finished_run_stays_as_it_is(config, finished_run):
    before = (finished_run / CHECKPOINT).read_bytes()
    train(config, finished_run, "cpu")
    train(with_changes(config, semantic_weights="moved.h5"), finished_run, "cpu")
    assert (finished_run / CHECKPOINT).read_bytes() == before


def test_a_checkpoint_from_before_a_field_existed_goes_on(config, finished_run):
    path = finished_run / CHECKPOINT
    saved = load_checkpoint(path)
    del saved["config"]["semantic"]
    torch.save(saved, path)
    train(config, finished_run, "cpu")


def test_another_config_does_not_go_on_with_a_run(config, finished_run):
    with pytest.raises(UsageError, match="learning_rate"):
        train(with_changes(config, learning_rate=0.1), finished_run, "cpu")


def test_weights_of_another_run_are_a_start(checkpoint, config, tmp_path):
    still = with_changes(config, learning_rate=1e-12, seed=5)
    train(still, tmp_path / "two", "cpu", init=str(checkpoint))
    one, two = load_checkpoint(checkpoint), load_checkpoint(tmp_path / "two" / CHECKPOINT)
    assert one["prior"] == two["prior"]
    assert (two["earlier"], two["samples"]) == (12, 12)
    torch.testing.assert_close(two["network"]["head.weight"], one["average"]["head.weight"])
    with pytest.raises(ModelError, match="another architecture"):
        train(with_changes(config, uv_bins=16), tmp_path / "x", "cpu", init=str(checkpoint))


def test_the_trunk_of_a_sibling_is_a_start(config, tmp_path):
    one = with_changes(config, architecture="regression", semantic="", samples=2, validation=[])
    train(one, tmp_path / "one", "cpu")
    init = tmp_path / "one" / CHECKPOINT
    two = with_changes(one, architecture="classification", learning_rate=1e-12)
    train(two, tmp_path / "two", "cpu", init=str(init))
    before, after = load_checkpoint(init), load_checkpoint(tmp_path / "two" / CHECKPOINT)
    key = "trunk.encoder.3.0.weight"
    torch.testing.assert_close(after["network"][key], before["average"][key])
    assert len(after["prior"]) == 394  # measured: the sibling has none
    assert after["earlier"] == 2
    three = with_changes(two, architecture="koalarization", semantic="efficientnet-lite0")
    with pytest.raises(ModelError, match="another architecture"):  # fused, which is no sibling
        train(three, tmp_path / "three", "cpu", init=str(init))


def test_each_option_of_a_recipe_changes_the_loss(shipped_config, tmp_path):
    recipe = {"color_loss": 0.1, "smoothing": 5.0, "drop_path": 0.9, "aged": 1.0}
    changes = [{}, *({key: value} for key, value in recipe.items()), {"loss_pixels": 1}, recipe]
    losses = []
    for number, values in enumerate(changes):
        run = with_changes(shipped_config, samples=2, validation=[], frozen_blocks=5, **values)
        train(run, tmp_path / str(number), "cpu", report=lambda p: losses.append(p.loss))
    assert np.isfinite(losses).all()
    assert len(losses) == len(changes)
    assert all(abs(loss - losses[0]) > 1e-5 for loss in losses[1:]), losses


def test_only_some_pictures_are_trained_on(config, folder, tmp_path):
    (folder / "1.png").write_bytes(b"broken")
    kept = with_changes(config, only=["0.png", "2.png"], samples=2, validation=[])
    train(kept, tmp_path / "run", "cpu")  # what is broken is not looked at
    with pytest.raises(NoInputsError, match="contains oil or water"):
        train(with_changes(config, only=["oil", "water"]), tmp_path / "none", "cpu")
    assert not (tmp_path / "none").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is CUDA")
def test_cuda_is_a_demand(config, tmp_path):
    for device in ("cuda", "cuda:3"):
        with pytest.raises(DeviceError, match="0 CUDA devices"):
            train(config, tmp_path / "run", device)
    with pytest.raises(UsageError, match="no device gpu"):
        train(config, tmp_path / "run", "gpu")


@pytest.mark.slow
def test_it_learns_two_pictures_by_heart(tmp_path):
    folder = tmp_path / "two"
    folder.mkdir()
    for i, color in enumerate([(190, 90, 60), (70, 110, 190)]):
        rgb = np.full((64, 64, 3), color, np.uint8)
        rgb[16:48, 16 + 8 * i : 40 + 8 * i] = 230 - 200 * i
        (folder / f"{i}.png").write_bytes(encoded(rgb, "PNG"))
    config = TrainConfig(
        name="heart", train=(str(folder),), validation=(str(folder),), samples=120, size=64,
        frozen_blocks=15, widths=(32, 32, 32, 32), long_side=(64, 64), run_size=64, batch_size=2,
        warmup=10, ema=0.9, validate_every=120, rebalance=1.0, learning_rate=8e-3,
    )  # fmt: skip
    reports: list[TrainingProgress] = []
    train(config, tmp_path / "run", "cpu", report=reports.append)
    figures = reports[-1].figures
    assert figures.two_class > 0.8
    assert 0.8 < figures.chroma_ratio < 1.2
