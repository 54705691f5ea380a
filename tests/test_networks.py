"""The architectures against what their papers and released weights say of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import draw, drawn, encoded
from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.annealed_mean import annealed_mean
from recolor_cli.color.lab import rgb_to_lightness
from recolor_cli.errors import ModelError, UsageError
from recolor_cli.evaluation.pictures import load_pictures
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.training import export as export_module
from recolor_cli.training.checkpoint import load_checkpoint, load_initial_weights, load_state_dict
from recolor_cli.training.config import TrainConfig
from recolor_cli.training.export import export, export_state_dict
from recolor_cli.training.losses import squared_distance
from recolor_cli.training.model_wrapper import make_manifest, wrap_for_export
from recolor_cli.training.networks import ARCHITECTURES, build_network
from recolor_cli.training.networks.base import LogitsNetwork
from recolor_cli.training.networks.semantics import SemanticBranch, classifier_of
from recolor_cli.training.parity import TOLERANCE
from recolor_cli.training.prior import measure_classes
from recolor_cli.training.progress import TrainingProgress
from recolor_cli.training.run_state import CHECKPOINT
from recolor_cli.training.torch_color import lightness_to_gray
from recolor_cli.training.train import train
from recolor_cli.training.yuv import rgb_to_uv, uv_grid, uv_to_ab
from recolor_cli.types import ColorSpace, ModelKind

CLASSES = len(AbBins.srgb())
RED_AND_BLUE = ((200, 40, 40), (40, 60, 200))
SEED_ARCHITECTURES = [name for name in ARCHITECTURES if name != "efficientnet_unet"]


def network_of(architecture, pretrained=False, **values):
    values = {"neighbours": 1} | values
    config = TrainConfig(
        name="x", train=("x",), validation=(), samples=64, architecture=architecture, **values
    )
    return build_network(config, CLASSES, pretrained)


def classes_of(network):
    return CLASSES if network.space is ColorSpace.LAB else 32


def trainable(network):
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("architecture", "weights"),
    [
        ("classification", 10_918_666),  # published
        ("regression", 6_573_794),  # of the published layers
        ("koalarization", 6_573_794),  # the same with 1000 classes instead of TensorFlow's 1001
    ],
)
def test_as_many_weights_as_the_papers_have(architecture, weights):
    assert trainable(network_of(architecture)) == weights


def test_only_koalarization_fuses_logits():
    branches = {a: network_of(a).trunk.semantic for a in SEED_ARCHITECTURES[:3]}
    assert {a: branch.probabilities for a, branch in branches.items()} == {
        "classification": True,
        "regression": True,
        "koalarization": False,
    }


def test_without_its_semantic_branch_only_the_fusing_convolution_is_smaller():
    with_branch, without = (
        network_of("regression", semantic=s) for s in ("efficientnet-lite0", "")
    )
    assert trainable(with_branch) - trainable(without) == 1000 * 256


def test_the_weights_of_film_are_named_and_shaped_as_published():
    state = {k: tuple(v.shape) for k, v in network_of("film").state_dict().items()}
    assert {key.split(".")[0] for key in state} == {"midlevel_resnet", "upsample"}
    assert state["midlevel_resnet.0.weight"] == (64, 1, 7, 7)
    assert state["midlevel_resnet.4.1.conv2.weight"] == (64, 64, 3, 3)
    assert state["midlevel_resnet.5.0.downsample.0.weight"] == (128, 64, 1, 1)
    convolutions = [(0, 128, 128), (4, 64, 128), (7, 64, 64), (11, 32, 64), (14, 2, 32)]
    for index, outputs, inputs in convolutions:
        assert state[f"upsample.{index}.weight"] == (outputs, inputs, 3, 3)
        assert state[f"upsample.{index}.bias"] == (outputs,)


def test_fruitnet_has_the_channels_of_its_figure():
    weights = [v for v in network_of("fruitnet").state_dict().values() if v.ndim == 4]
    assert [w.shape[0] for w in weights] == [32, 64, 128, 64, 64, 64, 32, 32, 2]


@pytest.mark.parametrize("architecture", SEED_ARCHITECTURES)
def test_every_network_answers_at_its_stride(architecture):
    network = network_of(architecture).eval()
    stride, side = network.output_stride, 4 * network.input_multiple
    channels = classes_of(network) if isinstance(network, LogitsNetwork) else 2
    with torch.inference_mode():
        answer = network(torch.full((2, 1, side, 2 * side), 50.0))
    assert answer.shape == (2, channels, side // stride, 2 * side // stride)


def test_two_pictures_have_two_embeddings():
    # The system that this descends from scaled twice, and its branch saw a constant.
    branch = SemanticBranch("efficientnet-lite0", probabilities=True, pretrained=True).train()
    lightness = [
        torch.from_numpy(rgb_to_lightness(draw(96, 96, seed=s)))[None, None] for s in (0, 1)
    ]
    one, two = (branch(picture) for picture in lightness)
    assert one.shape == (1, 1000)
    torch.testing.assert_close(one.sum(), torch.tensor(1.0))
    assert float((one - two).abs().sum()) > 0.1
    assert not any(p.requires_grad for p in branch.parameters())
    torch.testing.assert_close(branch(lightness[0]), one)  # its norms stay, in training too


def test_the_vector_reaches_the_answer():
    network = network_of("regression", pretrained=True).eval()
    lightness = torch.from_numpy(rgb_to_lightness(draw(64, 64)))[None, None]
    with torch.inference_mode():
        before = network(lightness)
        network.trunk.semantic.forward = lambda lightness: torch.eye(1000)[:1]
        assert not torch.equal(network(lightness), before)


# ColorUNet.


def test_colorunet_has_the_cells_of_its_code():
    network = network_of("colorunet")
    convolutions = [
        m for m in network.modules() if hasattr(m, "kernel_size") and hasattr(m, "weight")
    ]
    ups = [m for m in convolutions if isinstance(m, torch.nn.ConvTranspose2d)]
    widths = [16, 16, 32, 32, 64, 64, 32, 32, 32, 16, 32, 32, 16, 16, 32]
    assert [m.out_channels for m in convolutions] == widths
    assert [(m.in_channels, m.out_channels) for m in ups] == [(64, 32), (64, 16), (48, 16)]
    norms = [m.num_features for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms == [16, 32, 64, 32, 32]


def test_colorunet_reads_luma_and_runs_with_the_statistics_of_training():
    network = network_of("colorunet")
    lightness = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 100
    seen = []
    network.down[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        network.eval()
        torch.testing.assert_close(network(lightness)[:1], network(lightness[:1]))
        torch.testing.assert_close(seen[0], lightness_to_gray(lightness))
        network.train()  # here, a picture's answer depends on its neighbours
        assert not torch.allclose(network(lightness)[:1], network(lightness[:1]), atol=1e-3)


@pytest.fixture
def painted(tmp_path):
    """Return pictures of plain colors: five red, three blue, one green, one orange."""
    colors = [(200, 40, 40)] * 5 + [(40, 60, 200)] * 3 + [(40, 160, 60), (220, 120, 40)]
    for i, color in enumerate(colors):
        rgb = np.full((48, 48, 3), color, np.uint8)
        (tmp_path / f"{i}.png").write_bytes(encoded(rgb, "PNG"))
    return load_pictures([str(tmp_path)])


def test_the_bins_are_the_most_frequent_and_the_others_count_for_the_nearest(painted):
    config = TrainConfig(
        name="x", train=("x",), validation=(), samples=64, size=32, long_side=(48, 48),
        architecture="colorunet", neighbours=1, uv_bins=2,
    )  # fmt: skip
    network = build_network(config, CLASSES, pretrained=False)
    centers, prior = measure_classes(painted, config, network)
    cell = np.array([0.09, 0.13])
    red, blue = (rgb_to_uv(np.full((1, 1, 3), c, np.uint8))[0, 0] for c in RED_AND_BLUE)
    chosen = sorted(np.floor(centers / cell).tolist())
    assert chosen == sorted([np.floor(red / cell).tolist(), np.floor(blue / cell).tolist()])
    by_red = dict(zip((centers[:, 1] > 0).tolist(), prior.tolist(), strict=True))
    # Green and orange have gone to the bins that are nearer to them.
    shares = {True: 0.5, False: 0.3}
    for color in ((40, 160, 60), (220, 120, 40)):
        uv = rgb_to_uv(np.full((1, 1, 3), color, np.uint8))[0, 0]
        shares[bool(centers[np.linalg.norm(centers - uv, axis=1).argmin(), 1] > 0)] += 0.1
    assert by_red == pytest.approx(shares)


def test_every_class_decodes_to_its_own_color():
    # The released code began to count at 1, and its class 0 was gray.
    network = network_of("colorunet", uv_bins=100)
    manifest = make_manifest(
        TrainConfig(name="x", train=("x",), validation=(), samples=64),
        network, uv_grid(), np.full(100, 0.01, np.float32), {},
    )  # fmt: skip
    annealed = wrap_for_export(network, manifest).eval()
    lightness = torch.full((1, 1, 8, 8), 60.0)
    for number in (0, 57, 99):
        with torch.inference_mode():
            network.head.bias.zero_()
            network.head.bias[number] = 1000
            ab, logits = annealed(lightness, torch.tensor(0.38))
        assert logits.shape == (1, 100, 8, 8)
        uv = torch.from_numpy(uv_grid()[number])[None, :, None, None].expand(1, 2, 8, 8)
        torch.testing.assert_close(ab, uv_to_ab(lightness, uv))
        assert ab.norm(dim=1).min() > 5


def test_temperature_reaches_the_bins_in_uv():
    network = network_of("colorunet").eval()
    manifest = make_manifest(
        TrainConfig(name="x", train=("x",), validation=(), samples=64),
        network, uv_grid()[:32], np.full(32, 1 / 32, np.float32), {},
    )  # fmt: skip
    annealed = wrap_for_export(network, manifest).eval()
    lightness = torch.rand(1, 1, 16, 16) * 100
    with torch.inference_mode():
        ab, logits = annealed(lightness, torch.tensor(0.5))
    oracle = annealed_mean(logits.numpy(), AbBins(uv_grid()[:32]), 0.5)
    torch.testing.assert_close(ab, uv_to_ab(lightness, torch.from_numpy(oracle)), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "values", [{"neighbours": 5}, {"smoothing": 5.0}, {"color_loss": 0.1}, {"uv_bins": 101}]
)
def test_what_colorunet_cannot_be_trained_with_is_refused(values):
    with pytest.raises(UsageError, match=r"colorunet wants|uv_bins"):
        network_of("colorunet", **values)


def test_a_state_dict_of_colorunet_lacks_its_bins(tmp_path):
    torch.save(network_of("colorunet").state_dict(), tmp_path / "x.pth")
    with pytest.raises(UsageError, match="UV bins"):
        export_state_dict(tmp_path / "x.pth", "colorunet", tmp_path / "x.onnx", [])


def test_the_bins_of_a_start_are_kept(painted, tmp_path):
    config = TrainConfig(
        name="x", train=(str(tmp_path),), validation=(), samples=4, size=32, batch_size=2,
        long_side=(32, 48), run_size=64, warmup=1, architecture="colorunet", neighbours=1,
        uv_bins=3, loss_pixels=1.0,
    )  # fmt: skip
    train(config, tmp_path / "run", "cpu")
    checkpoint, model = tmp_path / "run" / CHECKPOINT, tmp_path / "x.onnx"
    export([str(checkpoint)], model, painted)
    load_initial_weights(str(checkpoint)).save(tmp_path / "x.safetensors")
    saved = load_checkpoint(checkpoint)
    for name in (checkpoint, model, tmp_path / "x.safetensors"):
        start = load_initial_weights(str(name))
        assert start.centers.tolist() == saved["centers"]
        assert start.prior.tolist() == pytest.approx(saved["prior"])
    train(replace(config, seed=7, only=("8.png", "9.png")), tmp_path / "on", "cpu", init=str(model))
    assert load_checkpoint(tmp_path / "on" / CHECKPOINT)["centers"] == saved["centers"]


def test_the_loss_of_regression_is_equation_1():
    ab, true = torch.randn(50, 2) * 30, torch.randn(50, 2) * 30
    expected = ((ab - true) ** 2).sum(dim=1).mean() / 2 / 128**2
    torch.testing.assert_close(squared_distance(ab, true), expected)


@pytest.mark.parametrize("encoder", ["x", "efficientnet-lite9"])
def test_a_branch_that_does_not_exist_is_refused(encoder):
    with pytest.raises(UsageError, match=encoder):
        network_of("regression", pretrained=True, semantic=encoder)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", SEED_ARCHITECTURES)
def test_every_network_is_trained_and_exported(architecture, tmp_path):
    folder = drawn(tmp_path / "pictures", 2, 50, 40)
    config = TrainConfig(
        name=architecture, train=(str(folder),), validation=(str(folder),), samples=2, size=32,
        long_side=(32, 48), run_size=32, batch_size=2, warmup=1, architecture=architecture,
        neighbours=1,
        # The branch takes three quarters of a case's time. Koalarization's lacks only the softmax.
        semantic="efficientnet-lite0" if architecture == "classification" else "",
        # At the usual rate a few steps leave logits so large that float32 alone moves ab by 0.02.
        learning_rate=1e-4,
    )  # fmt: skip
    reports: list[TrainingProgress] = []
    train(config, tmp_path / "run", "cpu", report=reports.append)
    assert np.isfinite(reports[-1].loss)
    assert reports[-1].figures.pictures == 2
    path = tmp_path / "x.onnx"
    parity = export([str(tmp_path / "run" / CHECKPOINT)], path, load_pictures([str(folder)]))
    assert parity.max_difference <= TOLERANCE
    manifest = OnnxColorNetwork.load(path, "cpu").manifest
    classes = {"classification": CLASSES, "colorunet": 32}.get(architecture, 0)
    assert manifest.kind is (ModelKind.CLASSIFICATION if classes else ModelKind.REGRESSION)
    assert len(manifest.prior) == classes
    assert manifest.space is (ColorSpace.YUV if architecture == "colorunet" else ColorSpace.LAB)


def test_a_state_dict_may_be_wrapped(tmp_path):
    state = network_of("fruitnet").state_dict()
    wrapped = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}
    for saved in (state, wrapped):
        torch.save(saved, tmp_path / "theirs.pth")
        torch.testing.assert_close(load_state_dict(tmp_path / "theirs.pth"), dict(state))


def test_somebodys_state_dict_is_exported(recolor, tmp_path):
    torch.manual_seed(0)
    torch.save(network_of("film").state_dict(), tmp_path / "theirs.pth")
    (tmp_path / "p.png").write_bytes(encoded(draw(), "PNG"))
    model = tmp_path / "theirs.onnx"
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "p.png").write_bytes(encoded(draw(), "PNG"))
    command = ("export", tmp_path / "theirs.pth", model, "--pictures", tmp_path / "pictures")
    _, err = recolor(*command, "--architecture", "film")
    assert "differ by at most" in err
    recolor(tmp_path / "p.png", "-m", model, "-o", tmp_path / "new.png", "--device", "cpu")
    _, err = recolor(*command, exit_code=4)
    assert "--architecture" in err
    _, err = recolor(*command, "--architecture", "fruitnet", exit_code=4)
    assert "another architecture" in err
    _, err = recolor(*command, "--architecture", "gan", exit_code=2)
    assert "no architecture is called gan" in err


@pytest.mark.parametrize("semantic", ["", "efficientnet-lite0", "inception_resnet_v2"])
def test_a_state_dict_says_which_classifier_is_fused_in(semantic):
    assert classifier_of(network_of("regression", semantic=semantic).state_dict()) == semantic


def test_a_state_dict_without_a_classifier_has_its_network(tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "_write", lambda network, *rest: network)
    state = network_of("regression", semantic="").state_dict()
    torch.save(state, tmp_path / "theirs.pth")
    network = export_state_dict(tmp_path / "theirs.pth", "regression", tmp_path / "x.onnx", [])
    torch.testing.assert_close(dict(network.state_dict()), dict(state))


def test_what_is_no_state_dict_is_refused(tmp_path):
    torch.save({"x": 3}, tmp_path / "number.pth")
    torch.save([1], tmp_path / "list.pth")
    torch.save({0: torch.zeros(1)}, tmp_path / "numbered.pth")
    torch.save({"state_dict": [torch.zeros(1)]}, tmp_path / "within.pth")
    (tmp_path / "bad.pth").write_bytes(b"once upon a time")
    for name in ("number", "list", "numbered", "within", "bad", "gone"):
        with pytest.raises(ModelError, match=name):
            load_state_dict(tmp_path / f"{name}.pth")
