"""What a watch knows of the files in its folders: which are complete, and what became of each."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from recolor_cli.batch.destination import job_of
from recolor_cli.batch.job import Job
from recolor_cli.batch.outcome import Outcome, Status
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.plan import conflict_error
from recolor_cli.batch.skip_rule import recorded_provenance
from recolor_cli.errors import InputError
from recolor_cli.image.unsupported import unsupported_suffix

EMPTY_PATIENCE = 30.0  # seconds; some programs make a file long before they fill it


class InboxFile(NamedTuple):
    """A file in an inbox."""

    path: str
    folder: str
    relative: str
    status: os.stat_result


@dataclass(slots=True)
class _Yielded:
    """A file whose job was yielded.

    Parameters
    ----------
    fingerprint : int
        Of the file, when its job was yielded.
    folder : str
    result : Status or None
        Written if this run has ever made its result; skipped if that was there.
    failed_ctime : int or None
        `st_ctime_ns` when it failed, which changes with its permissions; None if it did not fail.
    """

    fingerprint: int
    folder: str
    result: Status | None = None
    failed_ctime: int | None = None


class KnownFiles:
    """The files that lie in the inboxes, a few numbers each.

    Parameters
    ----------
    settled : float
        Seconds without a change, after which a file is complete.
    """

    def __init__(self, settled: float) -> None:
        self._settled = settled
        # Names, fingerprints and destinations are kept as hashes.
        self._yielded: dict[int, _Yielded] = {}  # by name
        self._waiting: dict[int, tuple[int, float]] = {}  # name -> fingerprint, and since when
        self._writer: dict[int, int] = {}  # destination -> name of the source
        self._unfinished: set[int] = set()  # inodes that had a temporary name at the last poll
        self._unreadable: set[str] = set()  # folders
        self._begin()

    def _begin(self) -> None:
        self._present: set[int] = set()
        self._temporary: set[int] = set()
        self._failed: set[str] = set()

    def job_of(self, found: InboxFile, options: OutputOptions, suffix: str) -> Job | None:
        """Return the job of a file if it is complete and was not yielded as it is."""
        name, fingerprint = hash(found.path), _fingerprint(found.status)
        self._present.add(name)
        known = self._yielded.get(name)
        ctimes = (None, found.status.st_ctime_ns)
        if known and known.fingerprint == fingerprint and known.failed_ctime in ctimes:
            return None
        if not self._is_complete(name, fingerprint, found):
            return None
        self._waiting.pop(name, None)
        if known:
            known.fingerprint, known.failed_ctime = fingerprint, None
        else:
            self._yielded[name] = _Yielded(fingerprint, sys.intern(found.folder))
        if error := unsupported_suffix(Path(found.path).suffix):
            return Job(found.path, error=error, is_unsupported=True)
        job = job_of(found.path, found.relative, options, suffix)
        destination = hash(os.path.normcase(os.path.abspath(job.destination)))
        writer = self._writer.get(destination, name)
        if writer != name and writer in self._yielded:
            return job._replace(error=conflict_error(job, _path_of(writer, found.folder)))
        self._writer[destination] = name
        return job._replace(redo=known is not None and _is_result_of(job, known))

    def note(self, outcome: Outcome) -> None:
        """Remember what became of a job; in any thread."""
        known, status = self._yielded.get(hash(outcome.job.source)), outcome.status
        if known is None:
            return
        if status is Status.WRITTEN or (status is Status.SKIPPED and known.result is None):
            known.result = status
        if status is Status.FAILED:
            with suppress(OSError):
                known.failed_ctime = os.stat(outcome.job.source).st_ctime_ns

    def _is_complete(self, name: int, fingerprint: int, found: InboxFile) -> bool:
        now = time.monotonic()
        known, since = self._waiting.get(name, (None, now))
        status = found.status
        if known != fingerprint:
            since = now
            self._waiting[name] = fingerprint, now
        if status.st_size == 0:
            return now - since >= EMPTY_PATIENCE
        if known is None and name not in self._yielded and self._was_renamed_into_place(status):
            return True
        if now - since < self._settled:
            return False
        # A share's client remembers sizes for a while; opening makes it ask.
        try:
            with Path(found.path).open("rb") as file:
                fresh = _fingerprint(os.fstat(file.fileno()))
        except OSError:
            return True  # the job will fail with the reason
        self._waiting[name] = fresh, since if fresh == fingerprint else now
        return fresh == fingerprint

    def _was_renamed_into_place(self, status: os.stat_result) -> bool:
        """Tell whether a new file was complete before it got its name.

        Renaming sets the time of the last change of status (ctime), which is then later than that
        of the last change of contents (mtime). Both are set by the server's clock, not by ours.
        """
        if sys.platform == "win32":  # where ctime is the time of creation
            return False
        later = (status.st_ctime_ns - status.st_mtime_ns) / 1e9
        # An inode may be reused by another file; one that is being written has equal times.
        return later > (0 if status.st_ino in self._unfinished else self._settled)

    def note_temporary(self, inode: int) -> None:
        """Remember a file whose name says that it is not complete."""
        self._temporary.add(inode)

    def unreadable(self, folder: str, error: OSError) -> Job | None:
        """Return a job that reports an unreadable folder, the first time."""
        self._failed.add(folder)
        if folder in self._unreadable:
            return None
        reason = InputError(
            f"cannot be read: {error.strerror}", "it is tried again, and reported only once"
        )
        return Job(folder, error=reason)

    def forget_missing(self) -> None:
        """End a poll: forget files that are gone, but not those in folders that cannot be read."""
        self._unreadable, self._unfinished = self._failed, self._temporary
        unreadable = tuple(folder.rstrip(os.sep) + os.sep for folder in self._failed)
        for name in self._waiting.keys() - self._present:
            del self._waiting[name]
        for name in self._yielded.keys() - self._present:
            if not f"{self._yielded[name].folder}{os.sep}".startswith(unreadable):
                del self._yielded[name]
        for destination in [d for d, name in self._writer.items() if name not in self._yielded]:
            del self._writer[destination]
        self._begin()

    def __len__(self) -> int:
        return len(self._yielded) + len(self._waiting) + len(self._writer)


def _fingerprint(status: os.stat_result) -> int:
    """Return a number that changes with a file."""
    return hash((status.st_size, status.st_mtime_ns, status.st_ino))


def _path_of(name: int, folder: str) -> str:
    """Return the path of a file in a folder, by its hash."""
    with suppress(OSError, StopIteration), os.scandir(folder) as entries:
        return next(entry.path for entry in entries if hash(entry.path) == name)
    return "another picture"


def _is_result_of(job: Job, known: _Yielded) -> bool:
    """Tell whether the existing result of a file was made of an earlier state of it."""
    if known.result is not Status.SKIPPED:
        return known.result is Status.WRITTEN
    recorded = recorded_provenance(job.destination)
    return recorded is not None and recorded.is_of(job.source)
