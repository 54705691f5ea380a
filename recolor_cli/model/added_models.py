"""Put networks into the user's folder of models, after checking them, and remove them again."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import BinaryIO

from recolor_cli.errors import InferenceError, ModelError, OutputError, UsageError
from recolor_cli.model.addition import Addition
from recolor_cli.model.download import (
    MAX_BYTES,
    Watcher,
    check_room,
    download,
    is_page,
    remove_part,
    too_large,
    web_page,
    write_problem,
)
from recolor_cli.model.download_errors import short_address
from recolor_cli.model.manifest import PROPERTY
from recolor_cli.model.model_files import read_properties, unreadable
from recolor_cli.model.onnx_fields import has_external_data
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.model.receipts import (
    Receipt,
    Verified,
    read_checksums,
    record_checksum,
    write_receipt,
)
from recolor_cli.model.registry import (
    PROFILE_SUFFIX,
    added_folder,
    added_names,
    available_models,
    part_path,
    receipt_path,
    unfinished_downloads,
)
from recolor_cli.system.file_lock import open_locked, remove_locked
from recolor_cli.system.files import write_atomic
from recolor_cli.system.memory import is_out_of_memory
from recolor_cli.system.texts import decode_text

_CHUNK = 1 << 20  # bytes
_FILE_KEY = re.compile(r"^[ \t]*file[ \t]*=.*$", re.MULTILINE)


def add_model(addition: Addition, watcher: Watcher, sha256: str = "") -> tuple[Path, Receipt]:
    """Fetch a network, check it, and put it into the user's folder with its profile.

    A download that was cut stays in the folder, and goes on the next time.

    Parameters
    ----------
    addition : Addition
    watcher : Watcher
    sha256 : str
        The checksum that the file must have; empty for the published or the recorded one.

    Returns
    -------
    (Path, Receipt)
        The network, and what is kept of it.

    Raises
    ------
    ModelError
        If the network cannot be had, is not what it should be, or cannot be run.
    OutputError
        If the folder cannot be written to.
    """
    part = part_path(addition.name)
    profile = _rewrite_profile(addition)
    with contextlib.ExitStack() as at_end:
        at_end.enter_context(_writing_alone(part))
        if isinstance(addition.source, Path):
            _copy(addition.source, part, watcher)
            at_end.callback(remove_part, part)  # whatever happens: a copy is made again easily
        else:
            download(addition.source, part, watcher, addition.advice)
        try:
            digest, verified = _verify(part, addition, sha256)
            size = _check_network(part, addition)
            count = part.stat().st_size
        except _PendingError:
            raise
        except ModelError:
            remove_part(part)
            raise
        except OSError as error:
            raise unreadable(part, error) from error
        receipt = Receipt(
            source=origin_of(addition),
            sha256=digest,
            bytes=count,
            verified=verified,
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            size=size,
        )
        return _put_into_folder(part, addition, profile, receipt), receipt


@contextlib.contextmanager
def _writing_alone(part: Path) -> Iterator[None]:
    """Let this process alone write, or remove, a part and the model that becomes of it."""
    path = part.with_name(f"{part.name}.lock")
    try:
        lock = open_locked(path, f"another process is writing {part}", "wait until it has ended")
    except OutputError as error:
        raise ModelError(error.message, error.hint) from error
    except OSError as error:
        raise write_problem(path, error) from error
    try:
        yield
    finally:
        remove_locked(lock, path)


def _put_into_folder(
    part: Path, addition: Addition, profile: bytes | None, receipt: Receipt
) -> Path:
    """Give a checked network its name, with its profile and receipt, and return its path."""
    network = part.with_name(f"{addition.name}.onnx")
    # The name is there as soon as the network is, so the network comes last.
    if profile is not None:
        write_atomic(network.with_suffix(PROFILE_SUFFIX), profile)
    write_receipt(network, receipt)
    if isinstance(addition.source, str):
        record_checksum(part.parent, receipt.source, receipt.sha256)
    try:
        part.replace(network)
    except OSError as error:
        raise write_problem(network, error) from error
    remove_part(part)
    return network


def remove_model(name: str) -> None:
    """Remove a model that was added, or what an unfinished download left of it.

    Raises
    ------
    UsageError
        If there is no such model, or it was not added.
    ModelError
        If another process is adding it.
    OutputError
        If its files cannot be removed.
    """
    if not name:
        raise UsageError("the model's name is empty", "check the quotes and variables")
    added = added_names()
    if name not in added and name not in unfinished_downloads():
        place = available_models().get(name)
        problem = f"{place} was not added by `recolor models add`" if place else f"no model {name}"
        raise UsageError(problem, f"models that were added: {', '.join(added) or 'none'}")
    network, part = added_folder() / f"{name}.onnx", part_path(name)
    with _writing_alone(part):
        remove_part(part)
        if not receipt_path(network).is_file():
            return
        try:
            for path in (network, network.with_suffix(PROFILE_SUFFIX), receipt_path(network)):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise write_problem(network, error) from error


class _PendingError(ModelError):
    """A network cannot be added yet. Its download stays, because another command may do it."""


def origin_of(addition: Addition) -> str:
    """Return where a network is from, as messages and receipts name it."""
    if isinstance(addition.source, Path):
        return str(addition.source)
    return short_address(addition.source)


def _copy(source: Path, part: Path, watcher: Watcher) -> None:
    """Copy a file of the user's, or leave nothing."""
    try:
        given = source.open("rb")
    except OSError as error:
        raise unreadable(source, error) from error
    remove_part(part)
    with given, contextlib.ExitStack() as on_failure:
        on_failure.callback(remove_part, part)
        size = os.fstat(given.fileno()).st_size
        if size > MAX_BYTES:
            raise too_large(str(source))
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            check_room(part, size)
            watcher.on_size(size)
            with part.open("wb") as file:
                while chunk := _read(given, source):
                    file.write(chunk)
                    watcher.on_progress(file.tell())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise write_problem(part, error) from error
        on_failure.pop_all()


def _read(given: BinaryIO, source: Path) -> bytes:
    """Return the next bytes of a file of the user's; raise ModelError if it cannot be read."""
    try:
        return given.read(_CHUNK)
    except OSError as error:
        raise unreadable(source, error) from error


def _verify(part: Path, addition: Addition, wanted: str) -> tuple[str, Verified]:
    """Return the SHA-256 of a file, and with what it was found equal.

    Raises
    ------
    ModelError
        If it should have another one.
    OSError
        If it cannot be read.
    """
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    published = addition.profile.sha256 if addition.profile else ""
    origin = origin_of(addition)
    verified = Verified.NO
    if wanted:
        verified = Verified.GIVEN
        advice = "compare the one that you gave with the one that its publisher states"
        _compare(found, wanted, origin, "you gave", advice)
    elif published and isinstance(addition.source, str):
        verified = Verified.PUBLISHED
        advice = f"it was damaged on the way, or is another file: try again, or {addition.advice}"
        _compare(found, published, origin, "its publisher states", advice)
    elif found == published:
        verified = Verified.PUBLISHED
    elif isinstance(addition.source, str):
        earlier = read_checksums(added_folder()).get(origin)
        verified = Verified.REPEATED if earlier else Verified.RECORDED
        if found != (earlier or found):
            raise _PendingError(
                f"{origin} has another SHA-256 than it had at the first download: {found}, not "
                f"{earlier}",
                f"its publisher may have changed it; if you trust it, add --sha256 {found}; to "
                f"download it again: recolor models remove {addition.name}",
            )
    return found, verified


def _compare(found: str, wanted: str, origin: str, whence: str, advice: str) -> None:
    if found != wanted.lower():
        raise ModelError(
            f"{origin} has another SHA-256 than {whence}: {found}, not {wanted}", advice
        )


def _check_network(part: Path, addition: Addition) -> int:
    """Check that a file is one whole network, and gives what its profile says.

    Returns
    -------
    int
        Longest side of its input, px.

    Raises
    ------
    ModelError
        If not.
    OSError
        If it cannot be read.
    """
    origin = origin_of(addition)
    try:
        properties = read_properties(part)
        is_split = has_external_data(part)
    except (ModelError, ValueError, RecursionError) as error:
        raise _not_onnx(part, addition) from error
    if is_split:
        raise ModelError(
            f"{origin} keeps its weights in other files",
            "export it again as one file, which holds all of them",
        )
    if addition.profile is None and PROPERTY not in properties:
        raise _PendingError(
            f"{origin} is no model of ours, and nothing tells what it reads and answers",
            f"describe it in a profile, as docs/profiles.md says: recolor models add "
            f"{addition.name}.toml {quote(origin)}",
        )
    try:
        return OnnxColorNetwork.load(part, "cpu", profile=addition.profile).manifest.size
    except (ModelError, InferenceError) as error:
        reason = error.message.replace(str(part), origin)
        hint = error.hint
        if is_out_of_memory(error):
            hint = "close other programs, and run the command again"
            raise _PendingError(reason, hint) from error
        if addition.is_known:
            hint = (
                f"it is another network or another export: write a profile for it, as with "
                f"`recolor profile {addition.name} -o theirs.toml`, and add that"
            )
        raise ModelError(reason, hint) from error


def _not_onnx(part: Path, addition: Addition) -> ModelError:
    """Return the error of a file that is something else than a whole ONNX file."""
    origin = origin_of(addition)
    with part.open("rb") as file:
        start = file.read(_CHUNK)
    if is_page(start):  # a browser may have saved it in place of the file
        return web_page(origin, addition.advice)
    if start.startswith(b"version https://git-lfs"):
        return ModelError(
            f"{origin} is a pointer of Git LFS, which stands for the file",
            f"git lfs pull gets the file, or the download link of its page; then {addition.advice}",
        )
    hint = "copy it again, or export it again"
    if isinstance(addition.source, str):
        hint = f"check the address; or {addition.advice}"
    return ModelError(f"{origin} is no ONNX file, or only a part of one", hint)


def _rewrite_profile(addition: Addition) -> bytes | None:
    """Return the text of a profile, with the name that its network gets; None without a profile.

    Raises
    ------
    ModelError
        If it cannot be read, or writes the key `file` in another way than as a line of its own.
    """
    path = addition.profile_path
    if path is None:
        return None
    try:
        text = decode_text(path.read_bytes())
    except OSError as error:
        raise unreadable(path, error) from error
    file = f"{addition.name}.onnx"
    line = f"file = {json.dumps(file)}"
    if addition.profile and addition.profile.file:
        text = _FILE_KEY.sub(lambda _: line, text, count=1)
    else:
        text = f"{line}\n{text}"
    with contextlib.suppress(tomllib.TOMLDecodeError):
        if tomllib.loads(text).get("file") == file:
            return text.encode()
    raise ModelError(
        f"the key file of {path} cannot be changed to {file}",
        'write it on a line of its own and without quotes around the key: file = "network.onnx"',
    )
