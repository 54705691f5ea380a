import json
import re
import tarfile
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from conftest import draw, drawn, encoded
from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.annealed_mean import annealed_mean
from recolor_cli.color.lab import rgb_to_gray, rgb_to_lab_cv2, rgb_to_lightness
from recolor_cli.errors import DeviceError, InputError, ModelError, NoInputsError, UsageError
from recolor_cli.evaluation.pictures import Picture, load_pictures
from recolor_cli.model.manifest import available_models
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.training import export as export_room
from recolor_cli.training.checkpoint import load_checkpoint, load_mean, load_start
from recolor_cli.training.compression import weight_storage as storage_room
from recolor_cli.training.compression.weight_storage import Storage, restore, round_weights, store
from recolor_cli.training.config import CONFIGS, TrainConfig
from recolor_cli.training.data import PAD_LIGHTNESS, batches, make_sample
from recolor_cli.training.export import export
from recolor_cli.training.networks import build_network
from recolor_cli.training.targets import (
    choose_pixels,
    color_distance,
    photograph_loss,
    rebalance_weights,
    rebalanced_cross_entropy,
    smooth_prior,
    soft_encode,
)
from recolor_cli.training.train import CHECKPOINT, LOG, Progress, train

BINS = AbBins.srgb()
CENTERS = torch.from_numpy(BINS.centers)


@pytest.fixture
def folder(tmp_path):
    return drawn(tmp_path / "pictures", 6, 50, 40)


@pytest.fixture
def config(folder):
    return TrainConfig(
        name="tiny",
        train=(str(folder),),
        validation=(str(folder),),
        samples=12,
        widths=(8, 8, 8, 8),
        size=32,
        long_side=(28, 48),
        run_size=64,
        batch_size=2,
        warmup=2,
        validate_every=6,
        validation_pictures=2,
        checkpoint_every=4,
    )


def with_changes(config, **changes):
    return TrainConfig.from_values(config.to_values() | changes, "test")


# Soft labels and loss.


def test_soft_labels_against_the_definition():
    ab = np.random.default_rng(0).uniform(-80, 80, (50, 2)).astype(np.float32)
    index, weight = soft_encode(torch.from_numpy(ab), CENTERS, 5, 5.0)
    for i in range(50):
        squared = np.square(BINS.centers - ab[i]).sum(axis=1)
        nearest = np.argsort(squared, kind="stable")[:5]
        expected = np.exp(-squared[nearest] / 50)
        expected /= expected.sum()
        np.testing.assert_allclose(np.sort(weight[i]), np.sort(expected), atol=1e-5)
        assert index[i, 0] == nearest[0] or np.isclose(squared[nearest[0]], squared[nearest[1]])
    torch.testing.assert_close(weight.sum(dim=1), torch.ones(50))


def test_soft_labels_decode_to_the_color_they_came_from():
    ab = np.random.default_rng(0).uniform(-40, 40, (500, 2)).astype(np.float32)
    index, weight = soft_encode(torch.from_numpy(ab), CENTERS, 5, 5.0)
    decoded = (CENTERS[index] * weight[..., None]).sum(dim=1).numpy()
    assert np.linalg.norm(decoded - ab, axis=1).mean() < 1  # the bins are not the bottleneck


def test_a_color_far_outside_has_a_label():
    _, weight = soft_encode(torch.tensor([[4000.0, -3000.0]]), CENTERS, 5, 5.0)
    assert torch.isfinite(weight).all()


def test_weights_have_mean_one_and_are_larger_for_the_rare():
    prior = torch.tensor([0.7, 0.2, 0.1, 0.0])
    for rebalance in (0.0, 0.5, 0.9):
        weights = rebalance_weights(prior, rebalance)
        assert float((weights * prior).sum()) == pytest.approx(1)
        assert weights[0] < weights[1] < weights[2]
    torch.testing.assert_close(rebalance_weights(prior, 1.0), torch.ones(4))


def test_a_smoothed_prior_is_one_still_and_lifts_the_rare_neighbour():
    prior = torch.zeros(len(BINS))
    prior[200] = 1
    torch.testing.assert_close(smooth_prior(prior, CENTERS, 0.0), prior)
    smooth = smooth_prior(prior, CENTERS, 5.0)
    assert float(smooth.sum()) == pytest.approx(1)
    distance = torch.linalg.norm(CENTERS - CENTERS[200], dim=1)
    order = distance.argsort()
    assert smooth[200] == smooth.max()
    assert smooth[order[1]] > 10 * smooth[order[30]]
    expected = torch.exp(-distance.square() / 50)
    torch.testing.assert_close(smooth, expected / expected.sum())


def test_the_distance_of_colors_is_that_of_the_annealed_mean():
    logits = torch.randn(50, len(BINS), generator=torch.Generator().manual_seed(0)) * 3
    ab = torch.randn(50, 2, generator=torch.Generator().manual_seed(1)) * 30
    decoded = annealed_mean(logits.T[None, :, :, None].numpy(), BINS, 0.5)[0, :, :, 0].T
    error = np.abs(decoded - ab.numpy())
    expected = np.where(error < 10, error**2 / 20, error - 5).mean()
    assert float(color_distance(logits, ab, CENTERS, 0.5)) == pytest.approx(expected, rel=1e-4)


def loss_of(class_weights):
    torch.manual_seed(0)
    logits = torch.randn(24, len(BINS))
    ab = torch.randn(24, 2) * 30
    index, weight = soft_encode(ab, CENTERS, 5, 5.0)
    loss = rebalanced_cross_entropy(logits, index, weight, class_weights[index[:, 0]])
    dense = torch.zeros(len(ab), len(BINS)).scatter_(1, index, weight)
    each = -(dense * logits.log_softmax(1)).sum(1)
    return float(loss), each * class_weights[index[:, 0]]


def test_the_loss_is_the_cross_entropy_with_dense_labels():
    loss, each = loss_of(torch.ones(len(BINS)))
    assert loss == pytest.approx(float(each.mean()), rel=1e-5)


def test_rebalancing_changes_the_loss():
    # The system that this descends from computed its weights and then dropped them.
    weights = torch.rand(len(BINS)) * 3
    loss, each = loss_of(weights)
    assert loss == pytest.approx(float(each.mean()), rel=1e-5)
    assert loss != pytest.approx(loss_of(torch.ones(len(BINS)))[0], rel=1e-2)


def test_padding_is_never_chosen_and_the_share_is_kept():
    inside = torch.zeros(2, 30, 40, dtype=torch.bool)
    inside[0, :20] = True
    everything = choose_pixels(inside, 1.0)
    assert everything.tolist() == list(range(800))
    some = choose_pixels(inside, 0.25)
    assert len(some) == len(set(some.tolist())) == 200
    assert inside.flatten()[some].all()
    assert some.tolist() != choose_pixels(inside, 0.25).tolist()
    one = torch.zeros(1, 4, 4, dtype=torch.bool)
    one[0, 2, 2] = True
    assert choose_pixels(one, 0.01).tolist() == [10]


# Samples.


def test_a_sample_is_the_picture_taken_apart(config):
    rgb = np.full((64, 64, 3), (200, 80, 60), np.uint8)
    whole = with_changes(config, long_side=[32, 32])
    lightness, ab, inside = make_sample(Picture("x", encoded(rgb, "PNG")), whole, 4, 0)
    assert lightness.shape == (1, 32, 32)
    assert ab.shape == (8, 8, 2)
    assert inside.all()
    np.testing.assert_allclose(lightness, rgb_to_lightness(rgb)[0, 0], atol=0.1)
    np.testing.assert_allclose(
        ab, np.broadcast_to(rgb_to_lab_cv2(rgb)[0, 0, 1:], ab.shape), atol=0.5
    )


def test_a_small_picture_is_padded_and_the_padding_is_known(config):
    rgb = np.full((64, 16, 3), 220, np.uint8)  # 32 x 8 of 32 x 32
    whole = with_changes(config, long_side=[32, 32])
    lightness, _, inside = make_sample(Picture("x", encoded(rgb, "PNG")), whole, 4, 0)
    padded = np.abs(lightness[0] - PAD_LIGHTNESS) < 1e-3
    assert padded.sum() == 32 * 24
    assert 8 <= inside.sum() <= 16  # one or two columns of eight, as the crop happens to lie
    assert (np.abs(lightness[0][~padded] - rgb_to_lightness(rgb)[0, 0]) < 0.1).all()


def test_an_aged_sample_has_a_worn_lightness_and_the_same_color(config):
    picture = Picture("x", encoded(draw(), "PNG"))
    for number in range(5):
        clean = make_sample(picture, config, 4, number)
        worn = make_sample(picture, with_changes(config, aged=1.0), 4, number)
        padded = clean[0] == PAD_LIGHTNESS
        np.testing.assert_array_equal(worn[0][padded], PAD_LIGHTNESS)
        np.testing.assert_array_equal(worn[1], clean[1])
        np.testing.assert_array_equal(worn[2], clean[2])
    assert not np.array_equal(worn[0], clean[0])


def test_samples_depend_on_their_number_alone(config):
    picture = Picture("x", encoded(draw(), "PNG"))
    first, again, other = (make_sample(picture, config, 4, n)[0] for n in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_batches_go_on_where_a_run_stopped(config, folder):
    pictures = load_pictures([str(folder)])
    stream, later = batches(pictures, config, 4, 0), batches(pictures, config, 4, 2)
    next(stream), next(stream)
    np.testing.assert_array_equal(next(stream).lightness, next(later).lightness)
    stream.close(), later.close()


def test_batches_tell_photographs_by_their_names(config, folder):
    pictures = load_pictures([str(folder)])
    config = with_changes(config, photographs=("0.png", "2.png"))
    with closing(batches(pictures, config, 4, 0)) as stream:
        found = [next(stream).photograph for _ in range(3)]
    assert np.concatenate(found).sum() == 2  # each once an epoch of six


def test_the_gate_alone_is_trained_where_photographs_are_named(checkpoint, config, tmp_path):
    changed = with_changes(
        config, photographs=("0.png", "1.png"), photo_strength=0.5, learning_rate=0.1
    )
    train(changed, tmp_path / "gate", "cpu", init=str(checkpoint))
    before = load_checkpoint(checkpoint)["average"]
    after = load_checkpoint(tmp_path / "gate" / CHECKPOINT)["average"]
    changes = {k for k, v in after.items() if not torch.equal(v, before[k])}
    assert changes == {"gate.weight", "gate.bias"}  # and no norm has gathered statistics


def test_the_gate_wants_photographs_and_others(checkpoint, config, tmp_path):
    for names in (("png",), ("jpeg",)):
        changed = with_changes(config, photographs=names)
        with pytest.raises(NoInputsError, match="are photographs by their names"):
            train(changed, tmp_path / "gate", "cpu", init=str(checkpoint))
    with pytest.raises(UsageError, match="gate"):
        with_changes(config, architecture="film", photo_strength=0.5)


def test_the_gate_wants_a_network_that_it_is_for(config, tmp_path):
    changed = with_changes(config, photographs=("0.png",))
    with pytest.raises(UsageError, match="the gate alone"):
        train(changed, tmp_path / "gate", "cpu")


def test_a_run_from_before_the_gate_cannot_be_gone_on_with(checkpoint, config, tmp_path):
    saved = load_checkpoint(checkpoint)
    for weights in (saved["network"], saved["average"]):
        del weights["gate.weight"], weights["gate.bias"]
    (tmp_path / "old").mkdir()
    torch.save(saved, tmp_path / "old" / CHECKPOINT)
    with pytest.raises(UsageError, match="another version"):
        train(config, tmp_path / "old", "cpu")
    train(config, tmp_path / "new", "cpu", init=str(tmp_path / "old" / CHECKPOINT))


def test_the_loss_of_the_gate_counts_both_kinds_alike():
    logits, photograph = torch.tensor([2.0, -1.0, 3.0, 0.5]), torch.tensor([1.0, 0, 0, 0])
    kinds = [
        torch.nn.functional.binary_cross_entropy_with_logits(logits[part], photograph[part])
        for part in (slice(0, 1), slice(1, 4))
    ]
    loss = photograph_loss(0.25)(logits, photograph)
    torch.testing.assert_close(loss, (kinds[0] + kinds[1]) * 0.75)


def test_a_photograph_gets_less_color(config):
    network = build_network(with_changes(config, photo_strength=0.5), len(BINS), False).eval()
    plain = build_network(config, len(BINS), False).eval()
    plain.load_state_dict(network.state_dict())
    lightness = torch.rand(2, 1, 64, 64) * 100
    with torch.inference_mode():
        expected = plain.logits_and_strength(lightness)
        for bias, factor in ((-30.0, 1.0), (0.0, 0.75), (30.0, 0.5)):
            network.gate.bias.fill_(bias)
            logits, strength = network.logits_and_strength(lightness)
            assert strength.shape == (2, 1, 1, 1)
            torch.testing.assert_close(strength, torch.full_like(strength, factor))
            torch.testing.assert_close(logits, expected[0])
    assert expected[1] is None


def test_a_broken_picture_is_named(config):
    with pytest.raises(InputError, match=r"x\.png: .*no picture"):
        make_sample(Picture("x.png", b"bad"), config, 4, 0)


def test_folders_and_tar_files_are_read_alike(folder, tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, arcname=f"posters/{path.name}")
    from_folder = load_pictures([str(folder)])
    from_tar = load_pictures([str(tmp_path / "sh*.tar")])
    assert [p.data for p in from_folder] == [p.data for p in from_tar]
    assert len(from_folder) == 6


def test_sources_that_hold_nothing_are_errors(tmp_path):
    with pytest.raises(NoInputsError):
        load_pictures([str(tmp_path / "gone")])
    with pytest.raises(NoInputsError):
        load_pictures([str(tmp_path)])
    (tmp_path / "x.tar").write_bytes(b"bad")
    with pytest.raises(InputError, match=r"x\.tar"):
        load_pictures([str(tmp_path / "x.tar")])


# Config.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = 'x'", "missing"),
        ("nane = 'x'", "unknown keys: nane"),
        ("name = 1\ntrain = ['x']\nvalidation = []\nsamples = 100", "name must be of type str"),
        ("name = 'x'\ntrain = [1]\nvalidation = []\nsamples = 100", "train must be of type"),
        ("name = 'x'\ntrain = ['x']\nvalidation = []\nsamples = 1", "at least one batch"),
        (
            "name = 'x'\ntrain = ['x']\nvalidation = []\nsamples = 100\nsize = 100",
            "multiples of 32",
        ),
        ("name = ", "not a TOML file"),
    ],
)
def test_configs_that_cannot_work_are_refused(tmp_path, text, words):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(UsageError, match=words):
        TrainConfig.load(tmp_path / "c.toml")


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_the_configs_that_come_along_load(name):
    config = TrainConfig.load(CONFIGS[name])
    build_network(config, len(BINS), pretrained=False)


def test_the_documents_name_configs_that_there_are():
    root = Path(__file__).parents[1]
    for document in (
        "README.md",
        "docs/training.md",
        *(f"models/{name}.md" for name in available_models()),
    ):
        text = (root / document).read_text()
        named = set(re.findall(r"recolor train ([a-z0-9-]+)", text))
        assert named
        assert named <= set(CONFIGS), document


def test_an_override_stands_above_the_file(tmp_path):
    text = "name = 'x'\ntrain = ['x']\nvalidation = []\nsamples = 100"
    (tmp_path / "c.toml").write_text(text)
    config = TrainConfig.load(tmp_path / "c.toml", samples=500, train=None)
    assert config.samples == 500
    assert config.train == ("x",)
    with pytest.raises(UsageError, match="cannot read"):
        TrainConfig.load(tmp_path / "gone.toml")


# The network and the loop.


@pytest.mark.parametrize(("widths", "stride"), [((8, 8, 8), 8), ((8,) * 4, 4), ((8,) * 5, 2)])
def test_the_network_answers_at_its_stride_for_any_multiple_of_32(config, widths, stride):
    network = build_network(with_changes(config, widths=widths), len(BINS), False).eval()
    assert network.output_stride == stride
    with torch.inference_mode():
        for height, width in ((32, 32), (64, 96)):
            logits = network(torch.full((2, 1, height, width), 50.0))
            assert logits.shape == (2, len(BINS), height // stride, width // stride)


def test_logits_at_some_pixels_are_those_of_the_whole(config):
    network = build_network(config, len(BINS), pretrained=False).eval()
    lightness = torch.rand(2, 1, 64, 64) * 100
    pixels = torch.tensor([0, 17, 300, 511])  # of 2 x 16 x 16
    with torch.inference_mode():
        whole = network(lightness).permute(0, 2, 3, 1).reshape(-1, len(BINS))
        torch.testing.assert_close(
            network.logits_at(lightness, pixels), whole[pixels], rtol=1e-4, atol=1e-4
        )


def test_drop_path_is_for_training_alone(config):
    network = build_network(with_changes(config, drop_path=0.9), len(BINS), False)
    lightness = torch.rand(4, 1, 64, 64) * 100
    with torch.inference_mode():
        network.eval()
        torch.testing.assert_close(network(lightness), network(lightness))
        network.train()
        assert not torch.allclose(network(lightness), network(lightness))


def test_the_frozen_part_keeps_its_weights_and_statistics(config):
    network = build_network(config, len(BINS), pretrained=True).train()
    frozen = {k: v.clone() for k, v in network.state_dict().items() if "_blocks.4." in k}
    free = {k: v.clone() for k, v in network.state_dict().items() if "_blocks.5." in k}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    network(torch.rand(2, 1, 64, 64) * 100).square().mean().backward()
    optimizer.step()
    state = network.state_dict()
    assert all(torch.equal(state[k], v) for k, v in frozen.items())
    assert not all(torch.equal(state[k], v) for k, v in free.items())


@pytest.mark.parametrize("changes", [{"architecture": "x"}, {"encoder": "x"}, {"widths": [8] * 6}])
def test_networks_that_do_not_exist_are_refused(config, changes):
    with pytest.raises(UsageError):
        build_network(with_changes(config, **changes), len(BINS), pretrained=False)


def test_a_run_leaves_checkpoint_log_and_sheets(config, tmp_path):
    reports: list[Progress] = []
    train(config, tmp_path / "run", "cpu", report=reports.append)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        CHECKPOINT, LOG, "samples-000000006.png", "samples-000000012.png",
    ]  # fmt: skip
    assert reports[-1].samples == 12
    assert reports[-1].figures.pictures == 2
    assert reports[-1].learning_rate == pytest.approx(0, abs=1e-4)
    log = [json.loads(line) for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    assert log[-1]["figures"]["balanced_auc"] == reports[-1].figures.balanced_auc
    with Image.open(tmp_path / "run" / "samples-000000012.png") as sheet:
        assert sheet.width >= 3 * 40  # gray | prediction | truth


def test_a_resumed_run_ends_as_an_uninterrupted_one(config, tmp_path):
    train(config, tmp_path / "whole", "cpu")

    class Stop(Exception):
        pass

    def stop(progress):
        if progress.samples >= 6:
            raise Stop

    with pytest.raises(Stop):  # after the checkpoint of sample 4
        train(config, tmp_path / "parts", "cpu", report=stop)
    assert load_checkpoint(tmp_path / "parts" / CHECKPOINT)["samples"] == 4
    train(config, tmp_path / "parts", "cpu")
    whole, parts = (load_checkpoint(tmp_path / r / CHECKPOINT) for r in ("whole", "parts"))
    assert whole["samples"] == parts["samples"] == 12
    for key, value in whole["average"].items():
        torch.testing.assert_close(parts["average"][key], value, rtol=1e-4, atol=1e-5)


def test_an_interrupt_saves_first(config, tmp_path):
    def interrupt(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", "cpu", report=interrupt)
    saved = load_checkpoint(tmp_path / "run" / CHECKPOINT)
    assert saved["samples"] == 6
    assert saved["figures"]["pictures"] == 2


def test_a_finished_run_stays_as_it_is(config, tmp_path):
    train(config, tmp_path / "run", "cpu")
    before = (tmp_path / "run" / CHECKPOINT).read_bytes()
    train(config, tmp_path / "run", "cpu")
    train(with_changes(config, semantic_weights="moved.h5"), tmp_path / "run", "cpu")
    assert (tmp_path / "run" / CHECKPOINT).read_bytes() == before


def test_a_checkpoint_from_before_a_field_existed_goes_on(config, tmp_path):
    train(config, tmp_path / "run", "cpu")
    path = tmp_path / "run" / CHECKPOINT
    saved = load_checkpoint(path)
    del saved["config"]["semantic"]
    torch.save(saved, path)
    train(config, tmp_path / "run", "cpu")


def test_another_config_does_not_go_on_with_a_run(config, tmp_path):
    train(config, tmp_path / "run", "cpu")
    with pytest.raises(UsageError, match="learning_rate"):
        train(with_changes(config, learning_rate=0.1), tmp_path / "run", "cpu")


def test_weights_of_another_run_are_a_start(config, tmp_path):
    train(config, tmp_path / "one", "cpu")
    init = tmp_path / "one" / CHECKPOINT
    still = with_changes(config, learning_rate=1e-12, seed=5)
    train(still, tmp_path / "two", "cpu", init=str(init))
    one, two = load_checkpoint(init), load_checkpoint(tmp_path / "two" / CHECKPOINT)
    assert one["prior"] == two["prior"]
    assert (two["earlier"], two["samples"]) == (12, 12)
    torch.testing.assert_close(two["network"]["head.weight"], one["average"]["head.weight"])
    with pytest.raises(ModelError, match="another architecture"):
        train(with_changes(config, widths=[8, 8, 8, 16]), tmp_path / "x", "cpu", init=str(init))


def test_the_trunk_of_a_sibling_is_a_start(config, tmp_path):
    one = with_changes(config, architecture="regression", semantic="", size=32, run_size=32)
    train(one, tmp_path / "one", "cpu")
    init = tmp_path / "one" / CHECKPOINT
    two = with_changes(one, architecture="classification", learning_rate=1e-12)
    train(two, tmp_path / "two", "cpu", init=str(init))
    before, after = load_checkpoint(init), load_checkpoint(tmp_path / "two" / CHECKPOINT)
    key = "trunk.encoder.3.0.weight"
    torch.testing.assert_close(after["network"][key], before["average"][key])
    assert len(after["prior"]) == 394  # measured: the sibling has none
    assert after["earlier"] == 12
    three = with_changes(two, architecture="koalarization", semantic="efficientnet-lite0")
    with pytest.raises(ModelError, match="another architecture"):  # fused, which is no sibling
        train(three, tmp_path / "three", "cpu", init=str(init))


@pytest.mark.parametrize(
    "changes",
    [{"color_loss": 0.1, "smoothing": 5.0, "drop_path": 0.2, "aged": 0.5}, {"loss_pixels": 1}],
)
def test_a_run_with_all_that_a_recipe_may_have(config, tmp_path, changes):
    reports: list[Progress] = []
    train(with_changes(config, **changes), tmp_path / "run", "cpu", report=reports.append)
    assert all(np.isfinite(report.loss) for report in reports)


def test_only_some_pictures_are_trained_on(config, folder, tmp_path):
    (folder / "1.png").write_bytes(b"broken")
    kept = with_changes(config, only=["0.png", "2.png"], validation=[])
    train(kept, tmp_path / "run", "cpu")  # what is broken is not looked at
    with pytest.raises(NoInputsError, match="contains oil or water"):
        train(with_changes(config, only=["oil", "water"]), tmp_path / "none", "cpu")


def test_the_mean_of_several_weighs_as_named(config, folder, tmp_path):
    names = [str(tmp_path / run / CHECKPOINT) for run in ("one", "two")]
    train(config, tmp_path / "one", "cpu")
    train(with_changes(config, seed=5), tmp_path / "two", "cpu", init=names[0])
    one, two = (load_start(name).weights["head.weight"] for name in names)
    assert not torch.allclose(one, two)
    mean = load_mean([names[0], names[1], names[1]])
    torch.testing.assert_close(mean.weights["head.weight"], (one + 2 * two) / 3)
    assert mean.samples == 24
    pictures = load_pictures([str(folder)])
    export([names[0], names[1], names[1]], tmp_path / "mean.onnx", pictures)
    exported = load_start(str(tmp_path / "mean.onnx")).weights["head.weight"]
    torch.testing.assert_close(exported, (one + 2 * two) / 3, rtol=1e-3, atol=1e-6)
    alone = OnnxColorNetwork.load(tmp_path / "mean.onnx", "cpu").manifest.training
    assert alone["figures"]["pictures"] == 6
    load_mean([names[0], str(tmp_path / "mean.onnx")])  # whose gate was of no use there
    other = with_changes(config, widths=[8, 8, 8, 16])
    train(other, tmp_path / "other", "cpu")
    with pytest.raises(ModelError, match="different architectures"):
        load_mean([names[0], str(tmp_path / "other" / CHECKPOINT)])
    saved = load_checkpoint(Path(names[1]))
    saved["centers"][3] = [100.0, 100.0]
    torch.save(saved, tmp_path / "moved.pt")
    with pytest.raises(ModelError, match="different bins"):
        load_mean([names[0], str(tmp_path / "moved.pt")])


def test_what_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "x.pt").write_bytes(b"bad")
    torch.save({"other": 1}, tmp_path / "y.pt")
    for name in ("x.pt", "y.pt", "gone.pt"):
        with pytest.raises(ModelError, match=name):
            load_checkpoint(tmp_path / name)


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
        name="heart", train=(str(folder),), validation=(str(folder),), samples=800, size=64,
        widths=(32, 32, 32, 32), long_side=(64, 64), run_size=64, batch_size=4, warmup=10,
        ema=0.9, validate_every=800, rebalance=1.0,
    )  # fmt: skip
    reports: list[Progress] = []
    train(config, tmp_path / "run", "cpu", report=reports.append)
    figures = reports[-1].figures
    assert figures.two_class > 0.8
    assert 0.8 < figures.chroma_ratio < 1.2


# Export.


@pytest.fixture
def checkpoint(config, tmp_path):
    train(config, tmp_path / "run", "cpu")
    return tmp_path / "run" / CHECKPOINT


def test_an_exported_model_gives_the_same_colors_and_describes_itself(checkpoint, folder, tmp_path):
    path = tmp_path / "tiny.onnx"
    parity = export([str(checkpoint)], path, load_pictures([str(folder)]))
    assert parity.max_difference <= export_room.TOLERANCE
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
    pictures = load_pictures([str(folder)])
    saved = load_checkpoint(checkpoint)
    tensor = np.random.default_rng(0).uniform(0, 100, (1, 1, 64, 64)).astype(np.float32)
    answers, starts = [], []
    for calibration in (1.0, 2.0):
        saved["config"]["calibration"] = calibration
        torch.save(saved, tmp_path / "c.pt")
        export([str(tmp_path / "c.pt")], tmp_path / "c.onnx", pictures)
        network = OnnxColorNetwork.load(tmp_path / "c.onnx", "cpu")
        answers.append(network.predict(tensor, 0.4 / calibration))
        starts.append(load_start(str(tmp_path / "c.onnx")).weights["head.weight"])
    np.testing.assert_allclose(answers[0], answers[1], atol=0.05)
    torch.testing.assert_close(starts[0], starts[1], rtol=1e-3, atol=1e-6)


def assert_as_stored(weight, exact):
    """Weights of a model file are rounded: large ones to 8 bits of their largest."""
    half_a_step = float(exact.abs().max()) / 127 / 2
    torch.testing.assert_close(weight, exact, rtol=1e-3, atol=1.01 * half_a_step)


def test_a_model_file_is_a_start_too(checkpoint, config, folder, tmp_path):
    path = tmp_path / "tiny.onnx"
    export([str(checkpoint)], path, load_pictures([str(folder)]))
    start, saved = load_start(str(path)), load_checkpoint(checkpoint)
    assert start.samples == 12
    np.testing.assert_allclose(start.prior, saved["prior"], atol=1e-7)
    floats = {k: v for k, v in saved["average"].items() if v.is_floating_point()}
    del floats["gate.weight"], floats["gate.bias"]  # not trained: the graph has no use for it
    assert start.weights.keys() == floats.keys()
    for key, value in floats.items():
        assert_as_stored(start.weights[key], value)
    train(config, tmp_path / "tuned", "cpu", init=str(path))
    assert load_checkpoint(tmp_path / "tuned" / CHECKPOINT)["earlier"] == 12
    (tmp_path / "bad.onnx").write_bytes(b"once upon a time")
    for name in ("gone", str(tmp_path / "bad.onnx")):
        with pytest.raises(ModelError):
            load_start(name)


def test_a_weights_file_is_a_start_too(checkpoint, config, recolor, folder, tmp_path):
    path, model = tmp_path / "tiny.safetensors", tmp_path / "tiny.onnx"
    recolor("export", checkpoint, path)
    export([str(checkpoint)], model, load_pictures([str(folder)]))
    recolor("export", model, tmp_path / "again.safetensors")
    start, saved = load_start(str(path)), load_checkpoint(checkpoint)
    np.testing.assert_allclose(start.prior, saved["prior"], atol=1e-7)
    again = load_start(str(tmp_path / "again.safetensors"))
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
    train(config, tmp_path / "tuned", "cpu", init=str(path))
    (tmp_path / "bad.safetensors").write_bytes(b"once upon a time")
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    for name in ("gone", "bad", "other"):
        with pytest.raises(ModelError, match=name):
            load_start(str(tmp_path / f"{name}.safetensors"))


def test_the_shipped_model_can_be_trained_on():
    network = build_network(
        TrainConfig(name="x", train=("x",), validation=(), samples=100), len(BINS), False
    )
    load_start("poster").load_into(network)


def test_an_export_that_differs_is_not_finished(checkpoint, folder, tmp_path, monkeypatch):
    pictures = load_pictures([str(folder)])
    for parity, words in (
        (export_room.Parity(1, 0.02), r"differ by up to 0\.0200"),
        (export_room.Parity(1, float("nan")), "differ by up to nan"),
    ):
        monkeypatch.setattr(export_room, "_compare", lambda *args, parity=parity: parity)
        with pytest.raises(ModelError, match=words):
            export([str(checkpoint)], tmp_path / "tiny.onnx", pictures)
    monkeypatch.undo()
    monkeypatch.setattr(export_room, "ROUNDING", 0.0)
    with pytest.raises(ModelError, match="half precision"):
        export([str(checkpoint)], tmp_path / "tiny.onnx", pictures)
    assert not list(tmp_path.glob("*.onnx"))
    assert not list(tmp_path.glob(".*"))


def test_the_comparison_sees_a_difference(checkpoint, folder, tmp_path):
    path = tmp_path / "tiny.onnx"
    pictures = load_pictures([str(folder)])
    export([str(checkpoint)], path, pictures)
    config = TrainConfig.from_values(load_checkpoint(checkpoint)["config"], "test")
    session = OnnxColorNetwork.load(path, "cpu")
    network = build_network(config, len(BINS), False)
    other = export_room.AnnealedNetwork(network, session.manifest).eval()
    parity = export_room._compare(other, session, pictures)
    assert parity.max_difference > export_room.TOLERANCE
    with torch.no_grad():
        other.network.head.bias.fill_(float("nan"))
    parity = export_room._compare(other, session, pictures)
    assert np.isnan(parity.max_difference)


def test_large_weights_are_stored_in_8_bits_small_ones_in_half_precision():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(64, 128, 3), nn.BatchNorm2d(128), nn.Conv2d(128, 2, 3))
    with torch.no_grad():
        network[0].weight[3] *= 100  # a channel of another size has a scale of its own
        network[0].weight[4] = 0
    exact = {k: v.clone() for k, v in network.state_dict().items()}
    stored = round_weights(network, Storage.INT8)
    rounded = network.state_dict()
    steps = exact["0.weight"].abs().amax(dim=(1, 2, 3), keepdim=True) / 127
    assert ((rounded["0.weight"] - exact["0.weight"]).abs() <= steps / 2 + 1e-7).all()
    torch.testing.assert_close(rounded["2.weight"], exact["2.weight"].half().float())
    torch.testing.assert_close(rounded["1.weight"], exact["1.weight"])

    names = [f"network.{name}" for name in rounded]
    tensors = [
        numpy_helper.from_array(v.numpy(), n) for n, v in zip(names, rounded.values(), strict=True)
    ]
    model = helper.make_model(helper.make_graph([], "g", [], [], tensors))
    store(model, stored)
    kinds = {t.name: t.data_type for t in model.graph.initializer if t.data_type != 7}
    assert kinds["network.0.weight.int8"] == onnx.TensorProto.INT8
    assert kinds["network.2.weight.half"] == onnx.TensorProto.FLOAT16
    assert "network.0.weight" not in kinds
    again = restore(model)
    for name, value in rounded.items():
        torch.testing.assert_close(again[name], value.float(), rtol=0, atol=0)


def test_where_8_bits_change_the_color_half_precision_is_taken(
    checkpoint, folder, tmp_path, monkeypatch
):
    pictures = load_pictures([str(folder)])
    monkeypatch.setattr(storage_room, "_LARGE", 0)  # its weights are few
    path = tmp_path / "tiny.onnx"
    parity = export([str(checkpoint)], path, pictures)
    assert parity.storage is Storage.INT8
    types = {t.data_type for t in onnx.load(path).graph.initializer if len(t.dims) == 4}
    assert onnx.TensorProto.INT8 in types
    start, saved = load_start(str(path)), load_checkpoint(checkpoint)
    weight = saved["average"]["decoder.0.0.weight"]
    torch.testing.assert_close(
        start.weights["decoder.0.0.weight"], weight, rtol=0, atol=float(weight.abs().max()) / 127
    )
    monkeypatch.setattr(export_room, "ROUNDING", 0.9 * parity.rounding)
    assert export([str(checkpoint)], path, pictures).storage is Storage.HALF


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


def test_a_network_of_one_size_is_exported(config, folder, tmp_path):
    least = with_changes(config, run_size=32, samples=2)
    train(least, tmp_path / "least", "cpu")
    names, pictures = [str(tmp_path / "least" / CHECKPOINT)], load_pictures([str(folder)])
    assert export(names, tmp_path / "least.onnx", pictures).inputs == 3 + 6


def test_export_wants_real_pictures(checkpoint, tmp_path):
    with pytest.raises(UsageError, match="real pictures"):
        export([str(checkpoint)], tmp_path / "tiny.onnx", [])


def test_the_commands(recolor, config, folder, tmp_path):
    lines = [f"{k} = {json.dumps(v)}" for k, v in config.to_values().items()]
    (tmp_path / "c.toml").write_text("\n".join(lines))
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
