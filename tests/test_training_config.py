"""Training configs: what is refused, and those that are included."""

import re
from pathlib import Path

import pytest

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.errors import UsageError
from recolor_cli.model.manifest import Manifest
from recolor_cli.model.model_files import read_properties
from recolor_cli.model.registry import available_models, find_model
from recolor_cli.training.config import CONFIGS, REGRESSIONS, TrainConfig
from recolor_cli.training.networks import build_network
from recolor_cli.training.networks.base import AbNetwork

BINS = AbBins.srgb()


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


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", "-1"), ("seed", "4294967296"), ("size", "0"), ("size", "-32"), ("run_size", "0"),
        ("validation_pictures", "0"), ("temperature", "0"), ("learning_rate", "-1.0"),
        ("learning_rate", "nan"), ("weight_decay", "-1.0"), ("gradient_clip", "0.0"),
        ("encoder_rate", "-1.0"), ("warmup", "-5"), ("checkpoint_every", "-5"),
        ("frozen_blocks", "-1"), ("neighbours", "500"), ("ema", "1.0"), ("shares", "{a = inf}"),
    ],
)  # fmt: skip
def test_values_that_cannot_work_are_refused_by_their_key(tmp_path, key, value):
    text = f"name = 'x'\ntrain = ['x']\nvalidation = []\nsamples = 100\n{key} = {value}"
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(UsageError, match=rf"training config: .*{key}"):
        TrainConfig.load(tmp_path / "c.toml")


@pytest.mark.parametrize(
    ("changes", "idle"),
    [
        ({"architecture": "film", "widths": [8], "color_loss": 0.5, "aged": 0.5},
         ["widths", "color_loss"]),
        ({"architecture": "classification", "color_loss": 0.5, "uv_bins": 9}, ["uv_bins"]),
        ({"whole_pictures": True, "size": 64, "drop_path": 0.1}, ["size"]),
        ({"photographs": ["photos/"], "rebalance": 0.5, "calibration": 1.2}, ["rebalance"]),
    ],
)  # fmt: skip
def test_keys_without_effect_are_known(changes, idle):
    values = {"name": "x", "train": ["x"], "validation": [], "samples": 100, **changes}
    assert TrainConfig.from_values(values, "test").keys_without_effect == idle


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_the_configs_that_come_along_load(name):
    config = TrainConfig.load(CONFIGS[name])
    assert not config.keys_without_effect
    network = build_network(config, len(BINS), pretrained=False)
    assert isinstance(network, AbNetwork) == (config.architecture in REGRESSIONS)


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


def test_tuning_and_the_last_phase_decode_as_the_default_model_does():
    path = find_model("poster")
    released = Manifest.from_properties(read_properties(path), path)
    phases = [name for name in CONFIGS if name.startswith("poster-")]
    last = max(phases, key=lambda name: int(name.removeprefix("poster-")))
    for name in ("tune", last):
        config = TrainConfig.load(CONFIGS[name])
        assert config.calibration == released.training["calibration"], name
        assert config.strength == released.strength, name


def test_an_override_stands_above_the_file(tmp_path):
    text = "name = 'x'\ntrain = ['x']\nvalidation = []\nsamples = 100"
    (tmp_path / "c.toml").write_text(text)
    config = TrainConfig.load(tmp_path / "c.toml", {"samples": 500, "train": None})
    assert config.samples == 500
    assert config.train == ("x",)
    with pytest.raises(UsageError, match="cannot read"):
        TrainConfig.load(tmp_path / "gone.toml")
