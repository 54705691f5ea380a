import pytest

from recolor_cli.errors import ModelError
from recolor_cli.model.registry import available_models, build_path, find_model, model_folders


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


def test_of_a_name_there_are_builds_for_devices(tmp_path, monkeypatch):
    monkeypatch.setenv("RECOLOR_MODELS", str(tmp_path))
    own = tmp_path / "own.onnx"
    own.write_bytes(b"x")
    assert [find_model("own", bits) for bits in (32, 16, 8)] == [own] * 3
    for bits, name in ((8, "own.int8.onnx"), (16, "own.fp16.onnx")):
        (tmp_path / name).write_bytes(b"x")
        assert find_model("own", bits) == build_path(own, bits) == tmp_path / name
        assert find_model(str(own), bits) == own
    assert find_model("own") == own
    assert not [name for name in available_models() if name.startswith("own.")]


def test_the_default_model_is_there():
    assert find_model("poster").is_file()
