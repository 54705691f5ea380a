"""The digest of a model's files."""

import hashlib

import pytest

from recolor_cli.errors import ModelError
from recolor_cli.model.model_files import digest_model
from recolor_cli.model.registry import find_model

_PROFILE = 'file = "net.onnx"\nsize = 64\nanswer = "ab"\nscale = {}\n'


def test_a_profile_is_another_model_when_it_or_its_network_changes(tmp_path):
    profile, network = tmp_path / "mine.toml", tmp_path / "net.onnx"
    digests = []
    for scale, data in ((110, b"one"), (100, b"one"), (100, b"two")):
        profile.write_text(_PROFILE.format(scale))
        network.write_bytes(data)
        digests.append(digest_model(str(profile)))
    assert len(set(digests)) == 3
    assert digest_model(str(profile)) == digests[2]


def test_the_digest_of_a_profile_needs_its_network_and_a_profile_that_can_be_read(tmp_path):
    profile = tmp_path / "mine.toml"
    profile.write_text(_PROFILE.format(100))
    with pytest.raises(ModelError, match=r"net\.onnx, which is not there"):
        digest_model(str(profile))
    profile.write_text("nonsense")
    with pytest.raises(ModelError, match="is not a profile"):
        digest_model(str(profile))


def test_a_profile_may_be_utf_16_as_when_it_is_read(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"one")
    (tmp_path / "mine.toml").write_text(_PROFILE.format(100), encoding="utf-16")
    digest_model(str(tmp_path / "mine.toml"))


def test_a_name_and_its_path_are_one_model():
    path = find_model("poster")
    assert digest_model("poster") == digest_model(str(path))
    assert digest_model("poster") == hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest_model("poster") != digest_model("film")
