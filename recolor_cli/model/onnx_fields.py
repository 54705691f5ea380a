"""Walk the fields of an ONNX file by seeking, without reading its weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

VARINT, BYTES = 0, 2  # wire types of protobuf
_LENGTHS = {1: 8, 5: 4}  # those of fixed length, bytes
# Numbers in onnx.proto of the fields that lead from a message to tensors, by the kind of message.
_TENSOR = "tensor"
_CHILDREN = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node", 5: _TENSOR, 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: _TENSOR, 2: _TENSOR},
}
_DATA_LOCATION, _EXTERNAL = 14, 1  # of a tensor


class Field(NamedTuple):
    """A field of a protobuf message.

    Parameters
    ----------
    number : int
    wire : int
        Its wire type.
    value : int
        The number, if `wire` is `VARINT`; else the length in bytes.
    start : int
        Place in the file where the content begins.
    """

    number: int
    wire: int
    value: int
    start: int


def read_fields(file: BinaryIO, start: int = 0, end: int | None = None) -> Iterator[Field]:
    """Yield the fields of the message between two places of a file, by default the whole file.

    The file may be read elsewhere between two fields.

    Raises
    ------
    ValueError
        If it is no such message, or ends within a field.
    """
    place = start
    if end is None:
        end = file.seek(0, os.SEEK_END)
    while place < end:
        file.seek(place)
        number, wire = divmod(_read_varint(file), 8)
        if wire not in (VARINT, BYTES, *_LENGTHS):
            raise ValueError(f"there is no wire type {wire}")
        value = _LENGTHS.get(wire) or _read_varint(file)
        content = file.tell()
        place = content if wire == VARINT else content + value
        if place > end:
            raise ValueError("it ends within a field")
        yield Field(number, wire, value, content)


def has_external_data(path: Path) -> bool:
    """Tell whether an ONNX file keeps weights in other files.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or is broken.
    """
    with path.open("rb") as file:
        return _holds_external(file, "model", 0, None)


def _holds_external(file: BinaryIO, kind: str, start: int, end: int | None) -> bool:
    """Tell whether a message holds a tensor whose data is elsewhere."""
    for field in read_fields(file, start, end):
        if kind == _TENSOR:
            if (field.number, field.wire, field.value) == (_DATA_LOCATION, VARINT, _EXTERNAL):
                return True
        elif (
            field.wire == BYTES
            and (child := _CHILDREN[kind].get(field.number))
            and _holds_external(file, child, field.start, field.start + field.value)
        ):
            return True
    return False


def _read_varint(file: BinaryIO) -> int:
    """Read a number of 7 bits a byte, the lowest ones first."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1) or b"\x80"  # at the end of the file, a byte that asks for another
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("a number has no end")
