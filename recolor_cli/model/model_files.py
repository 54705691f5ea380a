"""The files of a model, and the facts in an ONNX file that are read without its graph."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from recolor_cli.errors import ModelError
from recolor_cli.model.onnx_fields import BYTES, Field, read_fields
from recolor_cli.model.registry import PROFILE_SUFFIX, find_model

if TYPE_CHECKING:
    from recolor_cli.model.foreign_profile import ForeignProfile

BROKEN_FILE_ADVICE = "copy it again, with all files beside it that it needs, or export it again"
# Numbers of fields in onnx.proto: of ModelProto, and of StringStringEntryProto.
_GRAPH, _PROPERTIES = 7, 14
_KEY, _VALUE = 1, 2


class ModelFiles(NamedTuple):
    """The files of a model.

    Parameters
    ----------
    path : Path
        That the user named, or that belongs to the name: for messages.
    graph : Path
        The ONNX file.
    profile : ForeignProfile or None
    """

    path: Path
    graph: Path
    profile: ForeignProfile | None


def find_files(model: str | Path, bits: int, profile: ForeignProfile | None = None) -> ModelFiles:
    """Return the files of a model, of a name the build for `bits`.

    Raises
    ------
    ModelError
        If one is missing, or if the profile is broken.
    """
    path = find_model(str(model), bits)
    if path.suffix.lower() != PROFILE_SUFFIX:
        return ModelFiles(path, path, profile)
    # Imported here because it needs OpenCV, which a process that only starts others does without.
    from recolor_cli.model.foreign_profile import ForeignProfile

    profile = ForeignProfile.load(path)
    if not profile.file:
        raise ModelError(f"{path} names no file", 'add file = "theirs.onnx"')
    graph = path.parent / profile.file
    if not os.path.isfile(graph):
        raise ModelError(
            f"{path} names {profile.file}, which is not there",
            f"put {profile.file} beside {path.name}",
        )
    if graph.suffix.lower() != ".onnx":
        raise ModelError(
            f"{path} names {profile.file}, which is no ONNX file",
            "make a model of it: "
            f"recolor export {quote(str(graph))} NEW.onnx --profile {quote(str(path))}",
        )
    return ModelFiles(path, graph, profile)


def digest_model(model: str) -> str:
    """Return the SHA-256 of a model's file; a profile's counts together with its network's.

    Parameters
    ----------
    model : str
        Name or path. Builds of a named model in fewer bits count as the same model.

    Raises
    ------
    ModelError
        As `find_files`, and if a file cannot be read.
    """
    files = find_files(model, 32)
    states = []
    for path in dict.fromkeys((files.path, files.graph)):
        try:
            status = path.stat()
        except OSError as error:
            raise unreadable(path, error) from error
        states.append((path, status.st_size, status.st_mtime_ns))
    return _digest_files(tuple(states))


@cache  # a server asks for every picture
def _digest_files(states: tuple[tuple[Path, int, int], ...]) -> str:
    """Return the SHA-256 of files, given with their sizes and times."""
    digest = hashlib.sha256()
    for path, _, _ in states:
        try:
            with path.open("rb") as file:
                hashlib.file_digest(file, lambda: digest)  # adds to what it got before
        except OSError as error:
            raise unreadable(path, error) from error
    return digest.hexdigest()


def unreadable(path: Path, error: OSError) -> ModelError:
    """Return the error of a file that cannot be read."""
    return ModelError(f"{path} cannot be read: {error.strerror}", "check its permissions")


def read_properties(path: Path) -> dict[str, str]:
    """Return the custom properties of an ONNX file, without reading its graph.

    Raises
    ------
    ModelError
        If it cannot be read, is no ONNX file, or is cut off.
    """
    properties: dict[str, str] = {}
    has_graph = False
    try:
        with path.open("rb") as file:
            for field in read_fields(file):
                if field.wire != BYTES:
                    continue
                has_graph |= field.number == _GRAPH
                if field.number == _PROPERTIES:
                    texts = {
                        inner.number: _read(file, inner)
                        for inner in read_fields(file, field.start, field.start + field.value)
                        if inner.wire == BYTES
                    }
                    properties[texts[_KEY].decode()] = texts.get(_VALUE, b"").decode()
        if not has_graph:
            raise ValueError("there is no graph")
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, KeyError) as error:
        raise ModelError(
            f"{path} cannot be loaded as a model: it is no ONNX file, or a part of one",
            BROKEN_FILE_ADVICE,
        ) from error
    return properties


def _read(file: BinaryIO, field: Field) -> bytes:
    file.seek(field.start)
    return file.read(field.value)
