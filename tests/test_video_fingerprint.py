"""The hash that tells whether one run can continue what another began."""

from recolor_cli.model.registry import find_model
from recolor_cli.video.fingerprint import digest_model


def test_a_profile_is_another_model_when_it_or_its_network_changes(tmp_path):
    profile, network = tmp_path / "mine.toml", tmp_path / "net.onnx"
    digests = []
    for scale, data in ((110, b"one"), (100, b"one"), (100, b"two")):
        profile.write_text(f'file = "net.onnx"\nscale = {scale}\n')
        network.write_bytes(data)
        digests.append(digest_model(str(profile)))
    assert len(set(digests)) == 3
    assert digest_model(str(profile)) == digests[2]


def test_a_profile_may_be_utf_16_as_when_it_is_read(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"one")
    (tmp_path / "mine.toml").write_text('file = "net.onnx"\n', encoding="utf-16")
    digest_model(str(tmp_path / "mine.toml"))


def test_a_name_and_its_path_are_one_model():
    assert digest_model("poster") == digest_model(str(find_model("poster")))
    assert digest_model("poster") != digest_model("film")
