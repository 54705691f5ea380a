"""Inception-ResNet-v2 against Keras' and the names and shapes of the PyTorch ports."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from conftest import draw
from recolor_cli.color.lab import rgb_to_gray, rgb_to_lightness
from recolor_cli.errors import ModelError, UsageError
from recolor_cli.training.config import TrainConfig
from recolor_cli.training.foreign.keras_loading import load_keras
from recolor_cli.training.networks import build_network
from recolor_cli.training.networks.inception_resnet_v2 import InceptionResNetV2, load_weights
from recolor_cli.training.networks.semantics import SemanticBranch


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return InceptionResNetV2().eval()


def test_as_many_weights_as_published(network):
    scales = sum(v.numel() for k, v in network.named_parameters() if k.endswith("bn.weight"))
    statistics = sum(v.numel() for k, v in network.named_buffers() if "running" in k)
    weights = sum(v.numel() for v in network.parameters())
    assert weights == 55_843_464  # of the PyTorch ports, with 1000 classes
    assert weights - scales + statistics == 55_873_736  # Keras counts so


def test_the_names_and_shapes_are_those_of_the_ports(network):
    state = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    assert len(state) == 1306
    for key, shape in {
        "conv2d_1a.conv.weight": (32, 3, 3, 3),
        "conv2d_4a.bn.running_mean": (192,),
        "mixed_5b.branch0.conv.weight": (96, 192, 1, 1),
        "mixed_5b.branch1.1.conv.weight": (64, 48, 5, 5),
        "mixed_5b.branch3.1.bn.bias": (64,),
        "repeat.9.branch2.2.conv.weight": (64, 48, 3, 3),
        "repeat.0.conv2d.bias": (320,),
        "mixed_6a.branch1.2.conv.weight": (384, 256, 3, 3),
        "repeat_1.19.branch1.1.conv.weight": (160, 128, 1, 7),
        "repeat_1.19.branch1.2.conv.weight": (192, 160, 7, 1),
        "mixed_7a.branch2.2.conv.weight": (320, 288, 3, 3),
        "repeat_2.8.branch1.1.conv.weight": (224, 192, 1, 3),
        "block8.conv2d.weight": (2080, 448, 1, 1),
        "conv2d_7b.conv.weight": (1536, 2080, 1, 1),
        "last_linear.weight": (1000, 1536),
    }.items():
        assert state[key] == shape


@pytest.fixture(scope="module")
def loaded():
    """Return another network, for the tests to load weights into."""
    return InceptionResNetV2().eval()


@pytest.mark.parametrize(("name", "suffix"), [("last_linear", "pth"), ("classif", "safetensors")])
def test_of_1001_classes_the_background_is_left_out(network, loaded, tmp_path, name, suffix):
    torch.manual_seed(1)
    theirs = nn.Linear(1536, 1001)
    state = {k: v for k, v in network.state_dict().items() if not k.startswith("last_linear")}
    state |= {f"{name}.{k}": v for k, v in theirs.state_dict().items()}
    path = tmp_path / f"theirs.{suffix}"
    torch.save(state, path) if suffix == "pth" else save_file(state, path)
    load_weights(loaded, path)
    torch.testing.assert_close(loaded.last_linear.weight, theirs.weight[1:])
    torch.testing.assert_close(loaded.last_linear.bias, theirs.bias[1:])
    torch.testing.assert_close(loaded.block8.conv2d.bias, network.block8.conv2d.bias)


@pytest.fixture(scope="module")
def keras_model():
    """Return Keras' own, with statistics that are not those of a fresh one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "torch")
        import keras

        keras.utils.set_random_seed(0)
        model = keras.applications.InceptionResNetV2(weights=None, classifier_activation=None)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            beta, mean, variance = layer.get_weights()
            layer.set_weights(
                [
                    random.normal(0, 0.1, beta.shape),
                    random.normal(0, 0.1, mean.shape),
                    random.uniform(0.5, 1.5, variance.shape),
                ]
            )
    return model


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own
def test_it_answers_as_keras_does(keras_model, loaded, tmp_path, monkeypatch):
    picture = rgb_to_gray(draw(299, 299)).astype(np.float32)[None] / 127.5 - 1
    with torch.inference_mode():
        expected = torch.as_tensor(keras_model(torch.from_numpy(picture), training=False))
    assert expected.std() > 0.01
    keras_model.save_weights(tmp_path / "x.weights.h5")  # of Keras 3
    keras_model.save(tmp_path / "x.h5")  # as they are published

    def emptied(weights, classifier_activation):
        """Return the one model again: Keras takes seconds to make it."""
        assert weights is classifier_activation is None
        for variable in keras_model.weights:
            variable.assign(torch.zeros(variable.shape))
        return keras_model

    monkeypatch.setattr(load_keras().applications, "InceptionResNetV2", emptied)
    load_weights(loaded, tmp_path / "x.weights.h5")
    with torch.inference_mode():
        answer = loaded(torch.from_numpy(picture).permute(0, 3, 1, 2))
    torch.testing.assert_close(answer, expected.cpu(), rtol=1e-3, atol=1e-4)
    weights = {key: value.clone() for key, value in loaded.state_dict().items()}
    for value in loaded.state_dict().values():
        value.zero_()
    load_weights(loaded, tmp_path / "x.h5")
    torch.testing.assert_close(dict(loaded.state_dict()), weights)


def test_what_holds_no_such_weights_is_refused(network, tmp_path, monkeypatch):
    torch.save({"x.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="another architecture"):
        load_weights(network, tmp_path / "other.pth")
    (tmp_path / "bad.safetensors").write_bytes(b"once upon a time")
    for name in ("gone.h5", "gone.pth", "gone.safetensors", "bad.safetensors"):
        with pytest.raises(ModelError, match=name):
            load_weights(network, tmp_path / name)
    (tmp_path / "x.keras").write_bytes(b"once upon a time")
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(UsageError, match="needs the package keras") as caught:
        load_weights(network, tmp_path / "x.keras")
    assert "recolor-cli[keras]" in caught.value.hint
    other = SimpleNamespace(backend=SimpleNamespace(backend=lambda: "tensorflow"))
    monkeypatch.setitem(sys.modules, "keras", other)
    with pytest.raises(UsageError, match="already loaded with the backend tensorflow"):
        load_weights(network, tmp_path / "x.keras")


@pytest.mark.slow
def test_a_broken_keras_file_is_refused(network, tmp_path, monkeypatch):
    keras = load_keras()
    small = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])  # in no time
    monkeypatch.setattr(keras.applications, "InceptionResNetV2", lambda **options: small)
    (tmp_path / "x.h5").write_bytes(b"once upon a time")
    with pytest.raises(ModelError, match=r"x\.h5 holds no weights"):
        load_weights(network, tmp_path / "x.h5")


def network_of(architecture, pretrained, **values):
    config = TrainConfig(
        name="x", train=("x",), validation=(), samples=64, architecture=architecture,
        semantic="inception_resnet_v2", **values,
    )  # fmt: skip
    return build_network(config, 394, pretrained)


def test_without_its_weights_there_is_no_branch():
    with pytest.raises(UsageError, match="are not installed with recolor") as caught:
        network_of("regression", pretrained=True)
    assert "semantic_weights" in caught.value.hint


def test_the_weights_of_the_config_reach_the_frozen_branch(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "theirs.pth")
    whole = network_of("regression", True, semantic_weights=str(tmp_path / "theirs.pth")).train()
    branch = whole.trunk.semantic
    assert sum(p.numel() for p in whole.parameters() if p.requires_grad) == 6_573_794
    lightness = torch.from_numpy(rgb_to_lightness(draw(64, 64)))[None, None]
    with torch.inference_mode():
        assert whole(lightness).shape == (1, 2, 32, 32)
        picture = torch.nn.functional.interpolate(
            (lightness / 50 - 1).expand(-1, 3, -1, -1), size=(299, 299), mode="bilinear"
        )
        expected = network(picture).softmax(dim=1)
        torch.testing.assert_close(branch(lightness), expected, rtol=1e-3, atol=1e-6)


def test_both_branches_see_the_same_gray_each_scaled_as_it_was_trained():
    lightness = torch.rand(2, 1, 40, 40, generator=torch.Generator().manual_seed(0)) * 100
    lightness[:, :, 0, 0], lightness[:, :, -1, -1] = 0, 100
    levels = {}
    for name, side in (("inception_resnet_v2", 299), ("efficientnet-lite0", 224)):
        branch = SemanticBranch(name, probabilities=False, pretrained=False)
        seen = []
        branch.classifier.forward = lambda x, seen=seen: seen.append(x) or torch.zeros(2, 1000)
        branch(lightness)
        assert seen[0].shape == (2, 3, side, side)
        assert (seen[0][:, :1] == seen[0]).all()
        levels[name] = seen[0]
    inception = levels["inception_resnet_v2"]
    assert inception.aminmax() == pytest.approx((-1, 1), abs=1e-5)
    back = levels["efficientnet-lite0"] * 128 + 127
    small = torch.nn.functional.interpolate(lightness * 2.55, size=(224, 224), mode="bilinear")
    torch.testing.assert_close(back[:, :1], small, rtol=0, atol=1e-3)
    small = torch.nn.functional.interpolate(lightness * 2.55, size=(299, 299), mode="bilinear")
    torch.testing.assert_close((inception[:, :1] + 1) * 127.5, small, rtol=0, atol=1e-3)
