"""Read TOML files into dataclasses, with errors that name the key and the expected type."""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, fields
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from recolor_cli.system.texts import decode_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Config = TypeVar("_Config", bound="DataclassInstance")


def read_toml(path: Path) -> dict[str, Any]:
    """Return the values of a TOML file.

    It may be in any encoding of `decode_text`: older PowerShells write UTF-16 for
    ``recolor profile NAME > FILE``.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not TOML, or not text.
    """
    return tomllib.loads(decode_text(path.read_bytes()))


def build_config(kind: type[_Config], values: dict[str, Any]) -> _Config:
    """Make a dataclass of values from TOML, after checking their keys and types.

    Fields may be bool, int, float, str, enums, tuples, dicts by str, and unions of these. An int is
    taken for a float, and a list for a tuple.

    Raises
    ------
    ValueError
        If a key is unknown or missing, a value is of another type, or the dataclass refuses it.
    """
    known = {f.name: f for f in fields(kind)}
    if unknown := sorted(values.keys() - known.keys()):
        raise ValueError(f"unknown keys: {', '.join(unknown)}; known keys: {', '.join(known)}")
    required = (
        f.name for f in known.values() if f.default is MISSING and f.default_factory is MISSING
    )
    if missing := [name for name in required if name not in values]:
        raise ValueError(f"missing keys: {', '.join(missing)}")
    types = get_type_hints(kind)
    return kind(**{key: _convert(key, value, types[key]) for key, value in values.items()})


def _convert(key: str, value: Any, kind: Any) -> Any:
    """Return a value as its field's type, or raise ValueError."""
    if isinstance(kind, UnionType):
        for choice in get_args(kind):
            if isinstance(value, list | tuple) == (get_origin(choice) is tuple):
                return _convert(key, value, choice)
    elif get_origin(kind) is tuple:
        if isinstance(value, list | tuple):
            item = get_args(kind)[0]  # all items of a tuple are of one type
            return tuple(_convert(key, part, item) for part in value)
    elif get_origin(kind) is dict:
        if isinstance(value, dict):
            item = get_args(kind)[1]
            return {name: _convert(f"{key}.{name}", part, item) for name, part in value.items()}
    elif issubclass(kind, Enum):
        if value in (choices := [member.value for member in kind]):
            return kind(value)
        raise ValueError(f"{key} must be one of {', '.join(choices)}, not {value!r}")
    elif type(value) is kind or (kind is float and type(value) is int):
        return kind(value)
    raise ValueError(f"{key} must be of type {_name(kind)}, not {value!r}")


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_origin(kind) else str(kind)
