import json
from dataclasses import replace

import pytest

from recolor_cli.errors import ModelError
from recolor_cli.model.manifest import PROPERTY, Manifest
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
        ({"prior": [1.0]}, "1 prior"),
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
