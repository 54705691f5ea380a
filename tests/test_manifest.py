import json
from dataclasses import replace

import pytest

from recolor_cli.errors import ModelError
from recolor_cli.model.manifest import (
    PROPERTY,
    SHARED,
    Manifest,
    SharedWeights,
    available_models,
    find_model,
    model_folders,
    twin_of,
)
from recolor_cli.types import ColorSpace


def test_there_and_back(manifest, tmp_path):
    assert Manifest.from_properties(manifest.to_properties(), tmp_path) == manifest


def test_what_json_does_not_know_is_not_written(manifest):
    with pytest.raises(ValueError, match="JSON"):
        replace(manifest, pad_lightness=float("nan")).to_properties()


def test_bins_in_uv_are_no_ab_bins(manifest, tmp_path):
    assert Manifest.from_properties(broken(manifest, space=None), tmp_path).space is ColorSpace.LAB
    other = replace(manifest, space=ColorSpace.YUV)
    assert Manifest.from_properties(other.to_properties(), tmp_path) == other
    with pytest.raises(ValueError, match="yuv"):
        _ = other.prior_mean


def broken(manifest, **changes):
    values = json.loads(manifest.to_properties()[PROPERTY])
    values |= changes
    return {PROPERTY: json.dumps({k: v for k, v in values.items() if v is not None})}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": 99}, "schema 99"),
        ({"schema": None}, "broken manifest"),
        ({"kind": "magic"}, "broken manifest"),
        ({"size": 65}, "no multiple"),
        ({"prior": [1.0]}, "priors"),
        ({"kind": "regression"}, "bins"),
        ({"temperature": 0}, "temperature"),
        ({"space": "cmyk"}, "broken manifest"),
        ({"color": "blue"}, "broken manifest"),
    ],
)
def test_what_does_not_make_sense_is_refused(manifest, tmp_path, changes, words):
    with pytest.raises(ModelError, match=words):
        Manifest.from_properties(broken(manifest, **changes), tmp_path / "x.onnx")


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_other_json_is_refused(tmp_path, text):
    with pytest.raises(ModelError, match="broken manifest"):
        Manifest.from_properties({PROPERTY: text}, tmp_path)


def test_an_onnx_file_of_others_is_refused(tmp_path):
    with pytest.raises(ModelError, match="not a recolor model"):
        Manifest.from_properties({}, tmp_path)


def test_models_are_found_by_name_and_by_path(tmp_path, monkeypatch):
    own = tmp_path / "own.onnx"
    own.write_bytes(b"x")
    assert find_model(str(own)) == own
    with pytest.raises(ModelError, match="no model is called own") as caught:
        find_model("own")
    assert "recolor models" in caught.value.hint
    monkeypatch.setenv("RECOLOR_MODELS", str(tmp_path))
    assert model_folders()[0] == tmp_path
    assert available_models()["own"] == own
    assert find_model("own") == own
    with pytest.raises(ModelError, match="no model file"):
        find_model(str(tmp_path / "gone.onnx"))


def test_of_a_name_there_are_twins_for_devices(tmp_path, monkeypatch):
    monkeypatch.setenv("RECOLOR_MODELS", str(tmp_path))
    own = tmp_path / "own.onnx"
    own.write_bytes(b"x")
    assert [find_model("own", bits) for bits in (32, 16, 8)] == [own] * 3
    for bits, name in ((8, "own.int8.onnx"), (16, "own.fp16.onnx")):
        (tmp_path / name).write_bytes(b"x")
        assert find_model("own", bits) == twin_of(own, bits) == tmp_path / name
        assert find_model(str(own), bits) == own
    assert find_model("own") == own
    assert not [name for name in available_models() if name.startswith("own.")]


def test_weights_of_another_file_are_those_that_were_there(tmp_path):
    source, path = tmp_path / "own.onnx", tmp_path / "own.fp16.onnx"
    source.write_bytes(b"weights")
    properties = SharedWeights.of(source).to_properties()
    SharedWeights.check(properties, path)
    SharedWeights.check({}, path)
    source.write_bytes(b"others!")
    with pytest.raises(ModelError, match=r"own\.onnx, which has changed since") as caught:
        SharedWeights.check(properties, path)
    assert "--bits 16" in caught.value.hint
    source.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        SharedWeights.check(properties, path)


@pytest.mark.parametrize("text", ["", "[]", "null", '{"file": "x"}', '{"file": "", "sha256": ""}'])
def test_a_broken_note_on_weights_is_refused(tmp_path, text):
    with pytest.raises(ModelError, match="cannot be read"):
        SharedWeights.check({SHARED: text}, tmp_path / "own.fp16.onnx")


def test_the_default_model_is_there():
    assert find_model("poster").is_file()
