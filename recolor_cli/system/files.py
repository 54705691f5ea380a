"""Files on disk: read whole, written whole or not at all, and nothing left behind."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from recolor_cli.errors import InputError, OutputError
from recolor_cli.system.memory import available_memory

_PIPE_LIMIT = 2 << 30  # bytes; larger pictures are files
_CHUNK = 1 << 20
_GONE = {errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENOTCONN, errno.ENXIO, errno.EHOSTDOWN}
_TEMPORARY = re.compile(r"\.recolor-([0-9a-f]+)-(\d+)-[0-9a-f]+\.tmp")


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was read: its bytes, and what the system says of it."""

    data: bytes
    status: os.stat_result


def read(path: Path, check: Callable[[bytes], None] | None = None) -> Source:
    """Return what is in a file.

    Parameters
    ----------
    path : Path
    check : callable or None
        Of a pipe, as for `read_pipe`.

    Raises
    ------
    InputError
        If it is missing, cannot be read, is larger than the memory, or has no end.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return Source(read_pipe(file, check), status)
            if status.st_size > available_memory():
                raise InputError("the file is larger than the free memory", "use a larger machine")
            return Source(file.read(), status)
    except FileNotFoundError as error:
        raise InputError("no such file", "check the name, and that the disk is there") from error
    except OSError as error:
        advice = "check its permissions, and that it is a file"
        if error.errno in _GONE:
            advice = "check that its disk is still there; the same command goes on from here"
        raise InputError(f"cannot be read: {error.strerror}", advice) from error


def read_pipe(pipe: BinaryIO, check: Callable[[bytes], None] | None = None) -> bytes:
    """Return all bytes of a pipe.

    Parameters
    ----------
    pipe : binary stream
    check : callable or None
        Gets the first bytes and raises `InputError` if the rest is not worth waiting for.

    Raises
    ------
    InputError
        If `check` refuses the first bytes, or more bytes come than memory can hold.
    """
    most = min(_PIPE_LIMIT, available_memory() // 2)
    data = bytearray()
    while chunk := pipe.read(_CHUNK):
        data += chunk
        if check and len(data) <= _CHUNK:
            check(bytes(data))
        if len(data) > most:
            raise InputError(
                f"more than {most / 2**30:.1f} GiB came, and no end", "save it to a file first"
            )
    return bytes(data)


def write_atomic(
    path: Path,
    data: bytes,
    like: os.stat_result | None = None,
    keep_times: bool = False,
    mount: Path | None = None,
    durable: bool = True,
) -> None:
    """Write a file as `writing` does, of bytes that are all there."""
    with writing(path, like, keep_times, mount, durable) as file:
        file.write(data)


@contextlib.contextmanager
def writing(
    path: Path,
    like: os.stat_result | None = None,
    keep_times: bool = False,
    mount: Path | None = None,
    durable: bool = True,
) -> Iterator[BinaryIO]:
    """Write a file so that it is there whole or not at all, also when the power fails.

    The bytes go to a temporary file in the same folder, and from there to the disk, before it takes
    the name.

    Parameters
    ----------
    path : Path
    like : os.stat_result or None
        The file whose permissions it gets and, where that is allowed, whose owner.
    keep_times : bool
        Whether it gets the times of `like`, too.
    mount : Path or None
        The `mount_point` that it lies below. Where a disk was taken away, the empty folder that it
        was mounted on would take the file, on another disk.
    durable : bool
        Whether it must survive a power cut; what can be made again need not.

    Yields
    ------
    BinaryIO
        Open for reading, too.

    Raises
    ------
    OutputError
        If the folder cannot be made or written to, or the disk is full or gone.
    """
    if mount and not os.path.ismount(mount):
        raise OutputError(
            f"cannot write {path}: the disk that was mounted on {mount} is gone",
            "mount it again; the same command goes on from here",
        )
    # The process's number is in the name, so that `remove_leftovers` knows whether it still runs.
    temporary = path.with_name(f".recolor-{_host()}-{os.getpid()}-{secrets.token_hex(6)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("x+b") as file:
                if like:  # before there is anything to be seen by whom it is not for
                    # By its name it is opened once more by who can write to nothing else.
                    _belong_to_the_same(temporary, like, stat.S_IRUSR | stat.S_IWUSR)
                yield file
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            if like:
                _belong_to_the_same(temporary, like)
            if like and keep_times:
                os.utime(temporary, ns=(like.st_atime_ns, like.st_mtime_ns))
            temporary.replace(path)
        except BaseException:  # also when interrupted: leave nothing half written
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        advice = "choose a folder that you may write to and that has room, with -o"
        if error.errno == errno.ENAMETOOLONG:
            advice = "choose a shorter name, with --suffix or -o"
        elif error.errno in _GONE:
            advice = "check that the disk is still there; the same command goes on from here"
        raise OutputError(f"cannot write {path}: {error.strerror or error}", advice) from error


def mount_point(path: Path) -> Path:
    """Return where the disk begins that a path lies on, or would lie on once it is made."""
    place = Path(os.path.realpath(path))
    return next(folder for folder in (place, *place.parents) if os.path.ismount(folder))


def back_up(path: Path, backup: Path, data: bytes) -> None:
    """Give a file a second name, under which it stays when the first gets other contents.

    Parameters
    ----------
    path, backup : Path
        In the same folder.
    data : bytes
        What is in the file, for where a file can have one name only.

    Raises
    ------
    OutputError
        If the second name is another file's, or cannot be made.
    """
    try:
        os.link(path, backup)
    except FileExistsError as error:
        if path.samefile(backup):
            return  # a run was killed right behind this step
        raise OutputError(f"{backup} exists already", "choose another suffix") from error
    except OSError:  # a file system without links, or one that is full: writing will tell
        write_atomic(backup, data, path.stat(), keep_times=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of runs that were killed; those of running ones stay."""
    with contextlib.suppress(OSError):  # no such folder yet, or not ours to clean
        for path in list(folder.iterdir()):
            match = _TEMPORARY.fullmatch(path.name)
            if match and match[1] == _host() and not _is_running(int(match[2])):
                path.unlink(missing_ok=True)


def _belong_to_the_same(path: Path, like: os.stat_result, also: int = 0) -> None:
    """Give a file another's permissions (and `also`) and owner, as far as system and user may."""
    if sys.platform != "win32":  # which has no owners
        for owner in (like.st_uid, -1):  # a group may be given where an owner may not
            with contextlib.suppress(OSError):
                os.chown(path, owner, like.st_gid)
                break
    with contextlib.suppress(OSError):  # some network and memory-card systems have none
        path.chmod(stat.S_IMODE(like.st_mode) & 0o777 | also)


def _host() -> str:
    """Return a short name of this machine: on a network share others' processes are not ours."""
    return hashlib.blake2b(platform.node().encode(), digest_size=3).hexdigest()


def _is_running(process: int) -> bool:
    if sys.platform == "win32":  # there the question itself would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
