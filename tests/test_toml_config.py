from dataclasses import dataclass
from enum import StrEnum

import pytest

from recolor_cli.system.toml_config import build_config, read_toml


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Config:
    name: str
    color: Color = Color.RED
    count: int = 1
    share: float = 0.5
    is_fast: bool = False
    scale: float | tuple[float, ...] = 1.0
    points: tuple[tuple[float, ...], ...] = ()
    span: tuple[int, int] = (1, 2)

    def __post_init__(self):
        if self.count < 1:
            raise ValueError("count must be positive")


def test_values_become_the_types_of_the_fields():
    config = build_config(
        Config,
        {
            "name": "x",
            "color": "blue",
            "share": 1,
            "is_fast": True,
            "scale": [1, 2.5],
            "points": [[0, 1], [2, 3]],
            "span": (3, 4),
        },
    )
    points = ((0.0, 1.0), (2.0, 3.0))
    assert config == Config("x", Color.BLUE, 1, 1.0, True, (1.0, 2.5), points, (3, 4))
    assert isinstance(config.share, float)
    assert isinstance(config.color, Color)
    assert build_config(Config, {"name": "x"}) == Config("x")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "missing keys: name"),
        ({"name": "x", "nane": 1, "b": 2}, "unknown keys: b, nane; known keys: name, color, count"),
        ({"name": 1}, "name must be of type str, not 1"),
        ({"name": "x", "count": 1.0}, "count must be of type int, not 1.0"),
        ({"name": "x", "count": True}, "count must be of type int, not True"),
        ({"name": "x", "count": 0}, "count must be positive"),
        ({"name": "x", "share": False}, "share must be of type float, not False"),
        ({"name": "x", "share": "1"}, "share must be of type float, not '1'"),
        ({"name": "x", "is_fast": 1}, "is_fast must be of type bool, not 1"),
        ({"name": "x", "color": "green"}, "color must be one of red, blue, not 'green'"),
        ({"name": "x", "color": ["red"]}, "color must be one of red, blue"),
        ({"name": "x", "scale": ["x"]}, "scale must be of type float, not 'x'"),
        ({"name": "x", "scale": "x"}, "scale must be of type float, not 'x'"),
        ({"name": "x", "points": [1]}, r"points must be of type tuple\[float, \.\.\.\], not 1"),
        ({"name": "x", "points": 1}, "points must be of type tuple"),
    ],
)
def test_other_values_are_refused_by_key_and_type(values, words):
    with pytest.raises(ValueError, match=words):
        build_config(Config, values)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_toml_as_windows_writes_it(tmp_path, encoding):
    path = tmp_path / "x.toml"
    path.write_text('name = "Gemälde"\r\n', encoding)
    assert read_toml(path) == {"name": "Gemälde"}


@pytest.mark.parametrize("content", [b"name =", b"\xff\xfea", b"\x80"])
def test_other_files_are_value_errors(tmp_path, content):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        read_toml(path)
