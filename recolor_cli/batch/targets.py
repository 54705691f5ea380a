"""Tell which results cannot be written, before any work is done for them."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from pathlib import Path

from recolor_cli.batch.job import STREAM, Job
from recolor_cli.batch.outcome import Outcome, Status
from recolor_cli.errors import DiskFullError, FolderError, OutputError
from recolor_cli.system.files import check_mount, existing_folder, mount_point, write_error
from recolor_cli.system.places import folder_of, is_address
from recolor_cli.system.temporary_files import temporary_file

_PATIENCE = 60.0  # seconds, after which a store that refused to write is asked again


class Targets:
    """The folders and disks that the results of a run go to; threads may share an instance.

    Everything is looked at again for each job, because a disk may be emptied or mounted while a
    run waits for pictures. A store that refused to write is asked again by one picture a minute.

    Parameters
    ----------
    out : str or None
        As in `OutputOptions`.
    """

    def __init__(self, out: str | None) -> None:
        is_on_disk = out is not None and out != STREAM and not is_address(out)
        self._mount = mount_point(Path(out)) if out and is_on_disk else None
        self._lock = threading.Lock()
        self._closed: set[Path] = set()  # folders that a result could not be written to
        # By disk: the smallest picture whose result did not fit, and the free space, bytes.
        self._full: dict[int, tuple[int, int]] = {}
        # By folder on a store: the refusal, and when it was last asked.
        self._refused: dict[str, tuple[FolderError, float]] = {}

    def refusal(self, job: Job) -> OutputError | None:
        """Return why the result of a job cannot be written, as far as that is known."""
        if job.destination == STREAM:
            return None
        if is_address(job.destination):  # a trial would be a request for each picture
            return self._refusal_of_store(job)
        path = Path(job.destination)
        try:
            check_mount(path, self._mount)
        except FolderError as error:
            return error
        folder = existing_folder(path)
        try:
            _check_access(folder)
            with self._lock:
                was_closed = folder in self._closed
            if was_closed:
                with temporary_file(folder):
                    pass
                with self._lock:
                    self._closed.discard(folder)
            return self._lack_of_room(job, folder)
        except OSError as error:
            return write_error(path, error)

    def note(self, outcome: Outcome) -> None:
        """Remember why a result could not be written, if that concerns other results, too."""
        place = outcome.job.destination
        if is_address(place):
            with self._lock:
                if isinstance(outcome.error, FolderError):
                    self._refused[folder_of(place)] = outcome.error, time.monotonic()
                elif outcome.status is Status.WRITTEN:
                    self._refused.pop(folder_of(place), None)
            return
        if not isinstance(outcome.error, (FolderError, DiskFullError)):
            return
        folder = existing_folder(Path(place))
        if isinstance(outcome.error, FolderError):
            with self._lock:
                self._closed.add(folder)
            return
        size = _source_size(outcome.job)
        try:
            disk, free = _disk_space(folder)
        except OSError:  # it is gone, too
            return
        with self._lock:
            smallest, most = self._full.get(disk, (size, free))
            self._full[disk] = min(size, smallest), max(free, most)

    def _refusal_of_store(self, job: Job) -> FolderError | None:
        """Return the refusal that a folder on a store gave, unless it is time to ask again."""
        folder = folder_of(job.destination)
        with self._lock:
            if folder not in self._refused:
                return None
            error, asked = self._refused[folder]
            if time.monotonic() - asked >= _PATIENCE:
                self._refused[folder] = error, time.monotonic()  # by this job alone
                return None
        message = f"cannot write {job.destination}: {error.cause}"
        return FolderError(message, error.hint, error.cause)

    def _lack_of_room(self, job: Job, folder: Path) -> DiskFullError | None:
        """Return the error of a picture that is no smaller than one whose result did not fit."""
        if not self._full:
            return None
        disk, free = _disk_space(folder)
        with self._lock:
            size, free_then = self._full.get(disk, (0, -1))
            if free > free_then:  # somebody has made room
                self._full.pop(disk, None)
                return None
        if _source_size(job) < size:
            return None
        error = write_error(Path(job.destination), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        assert isinstance(error, DiskFullError)
        return error


def _check_access(folder: Path) -> None:
    """Raise OSError if the system says that nothing can be written in a folder."""
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if os.access(folder, os.W_OK | os.X_OK):
        return
    is_read_only = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY
    number = errno.EROFS if is_read_only else errno.EACCES
    raise OSError(number, os.strerror(number))


def _disk_space(folder: Path) -> tuple[int, int]:
    """Return the device of a folder, and the bytes that are free on it."""
    return folder.stat().st_dev, shutil.disk_usage(folder).free


def _source_size(job: Job) -> int:
    try:
        is_known = job.source != STREAM and not is_address(job.source)
        return os.stat(job.source).st_size if is_known else 0
    except OSError:  # it is missing, which its worker reports
        return 0
