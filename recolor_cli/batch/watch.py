"""Folders in which pictures arrive: each becomes a job once it is complete.

By looking again and again, and not by the kernel's notifications, which do not tell what other
machines write to a share.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recolor_cli.batch.plan import STREAM, Job, OutputOptions, job_of, suffix_of, taken
from recolor_cli.errors import InputError, UsageError
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.unsupported import unsupported_suffix

INTERVAL = 1.0  # seconds from one look to the next
SETTLED = 2.0  # seconds without a change, after which a file is complete
EMPTY_PATIENCE = 30.0  # seconds; some programs make a file long before they fill it
_SHARE = 0.2  # of the time may go into looking: large folders are looked at less often
_TICK = 0.2  # seconds in which an end is noticed

Fingerprint = tuple[int, int, int]  # size, time of the last change in ns, inode


@dataclass(frozen=True, slots=True)
class _Found:
    """A file in an inbox."""

    path: str
    relative: str
    status: os.stat_result

    @property
    def print(self) -> Fingerprint:
        return self.status.st_size, self.status.st_mtime_ns, self.status.st_ino


def arrivals(
    inboxes: Sequence[str],
    recursive: bool,
    options: OutputOptions,
    stop: threading.Event,
    interval: float = INTERVAL,
    settled: float = SETTLED,
) -> Iterator[Job]:
    """Look for pictures until told to stop, and yield a job for each that is complete.

    A file is complete when its size and time have not changed for a while, or at once if it came by
    a new name (was moved there, as programs do that write ``x.jpg.part`` first). A file that
    changes after its job was yielded is yielded again, to be done anew; others never are. Names
    that begin with a dot or ``~`` and those of no picture's ending are left alone.

    Parameters
    ----------
    inboxes : sequence of str
        Folders.
    recursive : bool
        Look into their folders, too.
    options : OutputOptions
        With a folder to write to. Where it lies in an inbox it is not looked into.
    stop : threading.Event
        Ends the iterator, within a fraction of a second.
    interval, settled : float
        Seconds from one look to the next, and without a change, after which a file is complete.

    Yields
    ------
    Job

    Raises
    ------
    UsageError
        If an inbox is no folder, or the results would not go to a folder apart.

    Notes
    -----
    Memory grows with the files that lie in the inboxes, by some hundred bytes each, not with those
    that come and go. A folder that cannot be read is told once, and looked at again.
    """
    _check(inboxes, recursive, options)
    looks = _arrivals(inboxes, recursive, options, stop, interval, settled)
    return (job for job in looks if job)


def _arrivals(
    inboxes: Sequence[str],
    recursive: bool,
    options: OutputOptions,
    stop: threading.Event,
    interval: float,
    settled: float,
) -> Iterator[Job | None]:
    """Yield the jobs, and None when a look or a part of the time between two has ended."""
    suffix = suffix_of(options)
    memory = _Memory(settled)
    while not stop.is_set():
        since, result_viewer = time.monotonic(), 0.0
        for found in _look(inboxes, recursive, options, memory):
            if stop.is_set():
                return
            job = memory.job_of(found, options, suffix) if isinstance(found, _Found) else found
            if job:
                result_viewer += time.monotonic() - since
                yield job  # and wait until there is room for another one
                since = time.monotonic()
        result_viewer += time.monotonic() - since
        memory.forget_the_missing()
        until = time.monotonic() + max(interval, result_viewer * (1 / _SHARE - 1))
        yield None
        while not stop.is_set() and (left := until - time.monotonic()) > 0:
            stop.wait(min(left, _TICK))
            yield None


def _check(inboxes: Sequence[str], recursive: bool, options: OutputOptions) -> None:
    """Refuse what would make results arrive as pictures."""
    advice = "as in recolor --watch inbox/ -o out/"
    out = options.out
    if out is None or out == STREAM or os.path.isfile(out) or options.backup is not None:
        raise UsageError("--watch needs a folder for the results", advice)
    if not out.endswith("/") and ImageFormat.of_suffix(Path(out).suffix) and not os.path.isdir(out):
        raise UsageError(f"--watch needs a folder, {out} is the name of a picture", advice)
    for inbox in inboxes:
        if not os.path.isdir(inbox):
            raise UsageError(f"--watch {inbox}: there is no such folder", advice)
        if os.path.realpath(inbox) == os.path.realpath(out):
            raise UsageError(f"the results would arrive in {inbox} as pictures", advice)
        if recursive and Path(os.path.realpath(inbox)).is_relative_to(os.path.realpath(out)):
            raise UsageError(f"{inbox} lies in {out}, where the results go", advice)


class _Memory:
    """What is known of the files that lie in the inboxes; a few numbers each.

    Parameters
    ----------
    settled : float
        Seconds without a change, after which a file is complete.
    """

    def __init__(self, settled: float) -> None:
        self._settled = settled
        self._told: dict[int, int] = {}  # file -> its print when its job was yielded
        self._waiting: dict[int, tuple[int, float]] = {}  # file -> its print, and since when
        self._writer: dict[int, int] = {}  # destination -> the file that it is the result of
        self._unfinished: set[int] = set()  # inodes that had a temporary name at the last look
        self._unreadable: set[str] = set()  # folders
        self._begin()

    def _begin(self) -> None:
        self._present: set[int] = set()
        self._temporary: set[int] = set()
        self._failed: set[str] = set()

    def job_of(self, found: _Found, options: OutputOptions, suffix: str) -> Job | None:
        """Return the job of a file if it is time for it."""
        name, mark = hash(found.path), hash(found.print)
        self._present.add(name)
        before = self._told.get(name)
        if before == mark:
            return None
        if not self._is_complete(name, mark, found):
            return None
        self._waiting.pop(name, None)
        self._told[name] = mark
        if error := unsupported_suffix(Path(found.path).suffix):
            return Job(found.path, error=error, is_unsupported=True)
        job = replace(
            job_of(Path(found.path), Path(found.relative), options, suffix),
            redo=before is not None,
        )
        destination = hash(os.path.normcase(os.path.abspath(job.destination)))
        writer = self._writer.setdefault(destination, name)
        is_other = writer != name and writer in self._told
        self._writer[destination] = writer if is_other else name
        return replace(job, error=taken(job, "another picture")) if is_other else job

    def _is_complete(self, name: int, mark: int, found: _Found) -> bool:
        now = time.monotonic()
        known, since = self._waiting.get(name, (None, now))
        status = found.status
        if known != mark:
            since = now
            self._waiting[name] = mark, now
        if status.st_size == 0:
            return now - since >= EMPTY_PATIENCE
        if known is None and name not in self._told and self._was_renamed_into_place(status):
            return True
        if now - since < self._settled:
            return False
        # A share's client remembers sizes for a while; opening makes it ask.
        try:
            with Path(found.path).open("rb") as file:
                fresh = hash(replace(found, status=os.fstat(file.fileno())).print)
        except OSError:
            return True  # the job will tell
        self._waiting[name] = fresh, since if fresh == mark else now
        return fresh == mark

    def _was_renamed_into_place(self, status: os.stat_result) -> bool:
        """Tell whether a file that is new here was complete before it got its name.

        A new name is noted in the time of the last change of status, which is then after that of
        the last change of contents. Both are the server's: its clock may be another than ours.
        """
        if sys.platform == "win32":  # there it is the time of creation
            return False
        later = (status.st_ctime_ns - status.st_mtime_ns) / 1e9
        # An inode may be another file's by now, but one that is being written has equal times.
        return later > (0 if status.st_ino in self._unfinished else self._settled)

    def note_temporary(self, inode: int) -> None:
        """Remember a file whose name says that it is not complete."""
        self._temporary.add(inode)

    def unreadable(self, folder: str, error: OSError) -> Job | None:
        """Return the job that tells of a folder that cannot be read, the first time."""
        self._failed.add(folder)
        if folder in self._unreadable:
            return None
        reason = InputError(
            f"cannot be read: {error.strerror}", "it is tried again, and told only once"
        )
        return Job(folder, error=reason)

    def forget_the_missing(self) -> None:
        """End a look: what was not seen is forgotten, unless a folder could not be read."""
        self._unreadable, self._unfinished = self._failed, self._temporary
        if not self._failed:
            for known in (self._told, self._waiting):
                for name in known.keys() - self._present:
                    del known[name]
            for destination in [d for d, name in self._writer.items() if name not in self._told]:
                del self._writer[destination]
        self._begin()

    def __len__(self) -> int:
        return len(self._told) + len(self._waiting) + len(self._writer)


def _look(
    inboxes: Sequence[str], recursive: bool, options: OutputOptions, memory: _Memory
) -> Iterator[_Found | Job]:
    """Yield the files that are there, in the order of their names, and what cannot be read."""
    out = os.path.realpath(str(options.out))
    for inbox in inboxes:
        folders = [(inbox, "")]
        while folders:
            folder, relative = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    ordered = sorted(entries, key=lambda entry: entry.name)
            except FileNotFoundError as error:
                if relative:
                    continue  # it was removed just now
                ordered = []
                if job := memory.unreadable(folder, error):
                    yield job
            except OSError as error:
                ordered = []
                if job := memory.unreadable(folder, error):
                    yield job
            below = []
            for entry in ordered:
                inner = f"{relative}{entry.name}"
                is_open = not entry.name.startswith((".", "~"))
                suffix = entry.name[entry.name.rfind(".") :] if "." in entry.name else ""
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if recursive and is_open and os.path.realpath(entry.path) != out:
                            below.append((entry.path, f"{inner}/"))
                    elif not (is_open and _is_known(suffix)):
                        memory.note_temporary(entry.inode())
                    elif entry.is_file():
                        yield _Found(entry.path, inner, Path(entry.path).stat())
                except OSError:
                    continue  # it was removed or renamed just now
            folders += reversed(below)


def _is_known(suffix: str) -> bool:
    return bool(ImageFormat.of_suffix(suffix) or unsupported_suffix(suffix))
