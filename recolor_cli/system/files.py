"""Read files whole, and write them whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import filecmp
import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from recolor_cli.errors import DiskFullError, FolderError, InputError, OutputError
from recolor_cli.system.memory import available_memory
from recolor_cli.system.temporary_files import temporary_file

_PIPE_LIMIT = 2 << 30  # bytes; larger pictures must be files
_CHUNK = 1 << 20  # bytes
_DISK_IS_GONE = {
    errno.EIO,
    errno.ESTALE,
    errno.ENODEV,
    errno.ENOTCONN,
    errno.ENXIO,
    errno.EHOSTDOWN,
}
_DISK_IS_FULL = {errno.ENOSPC, errno.EDQUOT}
_FOLDER_IS_CLOSED = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST}
NO_WORKING_FOLDER = "the current folder was deleted"
WORKING_FOLDER_ADVICE = "change to a folder that exists, as with cd ~"


@dataclass(frozen=True, slots=True)
class Source:
    """The bytes of a file that was read, and its status; None of a pipe or a device."""

    data: bytes
    status: os.stat_result | None


def read(path: Path, check: Callable[[bytes], None] | None = None) -> Source:
    """Read a file, which may be a pipe or a device.

    Parameters
    ----------
    path : Path
    check : callable or None
        Used for pipes and devices, as in `read_pipe`.

    Raises
    ------
    InputError
        If the file is missing, cannot be read, is larger than the free memory, or has no end.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return Source(read_pipe(file, check), None)  # a shell's pipe is private
            if status.st_size > available_memory():
                raise InputError("the file is larger than the free memory", "use a larger machine")
            return Source(file.read(), status)
    except OSError as error:
        raise _read_error(error) from error


def check_readable(path: Path) -> None:
    """Read a file to its end and forget its bytes. Raise InputError as `read` does.

    Some libraries report a disk that fails as they do a file that is cut off.
    """
    try:
        with path.open("rb") as file:
            while file.read(_CHUNK):
                pass
    except OSError as error:
        raise _read_error(error) from error


def _read_error(error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError("no such file", "check the name, and that the disk is there")
    advice = "check its permissions, and that it is a file"
    if error.errno == errno.ENAMETOOLONG:
        advice = "check the name"
    if error.errno in _DISK_IS_GONE:
        advice = "check that its disk is still there; the same command goes on from here"
    return InputError(f"cannot be read: {error.strerror}", advice)


def read_pipe(pipe: BinaryIO, check: Callable[[bytes], None] | None = None) -> bytes:
    """Read a pipe to its end.

    Parameters
    ----------
    pipe : binary stream
    check : callable or None
        Gets the first bytes, and raises `InputError` to stop reading.

    Raises
    ------
    InputError
        If `check` raises it, or if more bytes come than fit into memory.
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
    durable: bool = True,
) -> None:
    """Write bytes to a file as `writing` does."""
    with writing(path, like, keep_times, durable=durable) as file:
        file.write(data)


@contextlib.contextmanager
def writing(
    path: Path,
    like: os.stat_result | None = None,
    keep_times: bool = False,
    mount: Path | None = None,
    durable: bool = True,
    own_folder: Path | None = None,
) -> Iterator[BinaryIO]:
    """Write a file so that it exists whole or not at all, even after a power cut.

    The bytes go to a temporary file on the same disk, which is flushed to the disk and renamed.

    Parameters
    ----------
    path : Path
    like : os.stat_result or None
        Status of a file: the new one gets its permissions and, where that is allowed, its owner
        and its group; but a folder with the bit setgid chooses the group of new files.
    keep_times : bool
        Whether the file gets the times of `like`, too.
    mount : Path or None
        The `mount_point` of the path when the run began. If nothing is mounted there any more, the
        file is not written, because it would go to another disk.
    durable : bool
        Whether the file is flushed to the disk. Files that can be made again need not be.
    own_folder : Path or None
        An existing folder on the same disk, which no other run uses, for a temporary file that is
        written by its name; see `temporary_file`. None is the folder of the path.

    Yields
    ------
    BinaryIO
        The temporary file, open for writing and reading.

    Raises
    ------
    OutputError
        If the folder cannot be made or written to, or if the disk is full or gone.
    """
    check_mount(path, mount)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        place = own_folder or path.parent
        with temporary_file(place, lock=own_folder is None) as (temporary, file):
            if like:
                # Restrict the permissions before any bytes are written. Our own stay, because
                # some libraries open the file once more, by its name.
                group = _group_of(path, place, like)
                _copy_permissions(temporary, like, group, stat.S_IRUSR | stat.S_IWUSR)
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            if like:
                _copy_permissions(temporary, like, group)
            if like and keep_times:
                os.utime(temporary, ns=(like.st_atime_ns, like.st_mtime_ns))
            if sys.platform == "win32":  # renames no open file
                file.close()
            temporary.replace(path)
    except OSError as error:
        raise write_error(path, error) from error


def write_error(path: Path, error: OSError) -> OutputError:
    """Return the error of a file that cannot be written, with its cause if others share that."""
    message = f"cannot write {path}: {error.strerror or error}"
    advice = "see that you may write there and that there is room, or choose another folder with -o"
    number = error.errno
    if number == errno.ENOENT and is_working_folder_gone():
        message = f"cannot write {path}: {NO_WORKING_FOLDER}"
        return FolderError(message, WORKING_FOLDER_ADVICE, NO_WORKING_FOLDER)
    if number == errno.ENAMETOOLONG:
        return OutputError(message, "choose a shorter name, with --suffix or -o")
    if number in _DISK_IS_GONE:
        advice = "check that the disk is still there; the same command goes on from here"
        return FolderError(message, advice, f"the disk of {mount_point(path)} fails")
    if number in _DISK_IS_FULL:
        return DiskFullError(message, advice, f"the disk of {mount_point(path)} is full")
    if number == errno.EROFS:
        return FolderError(message, advice, f"the disk of {mount_point(path)} is read-only")
    if number in _FOLDER_IS_CLOSED:
        return FolderError(message, advice, f"nothing can be written in {existing_folder(path)}")
    return OutputError(message, advice)


def check_mount(path: Path, mount: Path | None) -> None:
    """Raise FolderError if nothing is mounted any more on the `mount_point` that a path had."""
    if reason := why_not_mounted(mount):
        raise FolderError(
            f"cannot write {path}: {reason}",
            "mount it again; the same command goes on from here",
            reason,
        )


def why_not_mounted(mount: Path | None) -> str:
    """Return what happened to a `mount_point` on which nothing is mounted any more; else ""."""
    if mount is None or os.path.ismount(mount):
        return ""
    return f"the disk that was mounted on {mount} is gone"


def existing_folder(path: Path) -> Path:
    """Return the folder of a path or, if that is not made yet, the one that it will be made in."""
    return next((folder for folder in path.parents if os.path.exists(folder)), Path())


def is_working_folder_gone() -> bool:
    """Tell whether the current folder was deleted, so that no relative path can be used."""
    try:
        Path.cwd()
    except OSError:
        return True
    return False


def mount_point(path: Path) -> Path:
    """Return the mount point of the disk that a path, which need not exist, lies on."""
    place = Path(os.path.realpath(path))
    return next(folder for folder in (place, *place.parents) if os.path.ismount(folder))


def back_up(path: Path, backup: Path, data: bytes) -> None:
    """Back a file up by a second name, or by a copy on file systems without hard links.

    Parameters
    ----------
    path, backup : Path
        In the same folder.
    data : bytes
        Contents of the file, for a copy.

    Raises
    ------
    OutputError
        If another file has the name of the backup, or if it cannot be made.
    """
    try:
        os.link(path, backup)
        return
    except OSError:  # it exists, there are no hard links, or the disk is full
        if not os.path.lexists(backup):
            write_atomic(backup, data, path.stat(), keep_times=True)
            return
    # An equal file was made by a run that ended before it wrote the result.
    if not has_same_content(path, backup):
        raise OutputError(f"{backup} exists already", "choose another suffix")


def has_same_content(path: Path, other: Path) -> bool:
    """Tell whether two names lead to one file or to equal files; False if one is missing."""
    try:
        return path.samefile(other) or filecmp.cmp(path, other, shallow=False)
    except (OSError, ValueError):
        return False


def file_version(path: Path) -> str:
    """Return a text that changes with a file; empty if there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # no file can have the name
        return ""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def _group_of(path: Path, folder: Path, like: os.stat_result) -> int:
    """Return the group that a new file in a folder gets; -1 leaves the choice to the folder.

    A folder with the bit setgid chooses. What replaces the file `like` itself keeps its group.
    """
    with contextlib.suppress(OSError):
        if folder.stat().st_mode & stat.S_ISGID:
            replaces = path.exists() and os.path.samestat(path.stat(), like)
            return like.st_gid if replaces else -1
    return like.st_gid


def _copy_permissions(path: Path, like: os.stat_result, group: int, extra: int = 0) -> None:
    """Give a file another's owner and permissions, and `extra` ones, as far as that is allowed.

    Where it cannot have the group, from `_group_of`, its own may do no more than everybody.
    """
    mode = stat.S_IMODE(like.st_mode) & 0o777
    if sys.platform != "win32":  # has no owners
        for owner in (like.st_uid, -1):  # users may set some groups, but no owner
            with contextlib.suppress(OSError):
                os.chown(path, owner, group)
                break
        if group not in (-1, path.stat().st_gid):
            mode = mode & 0o707 | (mode & 0o007) << 3
    with contextlib.suppress(OSError):  # some file systems have no permissions
        path.chmod(mode | extra)
