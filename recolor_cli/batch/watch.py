"""Watch folders: each picture that arrives becomes a job once its file is complete.

The folders are polled, because the kernel's notifications do not tell what other machines write to
a share.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from recolor_cli.batch.destination import (
    check_base,
    check_places,
    job_of,
    result_suffix,
    with_common_base,
)
from recolor_cli.batch.exclusion import is_excluded, is_machine_made
from recolor_cli.batch.job import STREAM, Job
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.plan import conflict_error
from recolor_cli.errors import InputError, UsageError
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.unsupported import unsupported_suffix
from recolor_cli.system.places import is_address, relative_to

INTERVAL = 1.0  # seconds from one poll to the next
SETTLED = 2.0  # seconds without a change, after which a file is complete
EMPTY_PATIENCE = 30.0  # seconds; some programs make a file long before they fill it
_POLL_SHARE = 0.2  # part of the time that polls may take: large folders are polled less often
_TICK = 0.2  # seconds in which a stop is noticed


class _InboxFile(NamedTuple):
    """A file in an inbox."""

    path: str
    relative: str
    status: os.stat_result


def arrivals(
    inboxes: Sequence[str],
    recursive: bool,
    options: OutputOptions,
    stop: threading.Event,
    interval: float = INTERVAL,
    settled: float = SETTLED,
) -> Iterator[Job]:
    """Poll folders until told to stop, and yield a job for each picture that is complete.

    A file is complete when its size and time have not changed for a while, or at once if it was
    renamed into place, as programs do that write ``x.jpg.part`` first. A file that changes after
    its job was yielded is yielded again with `Job.redo`; others never are. Ignored are names that
    begin with a dot or ``~`` and names without the ending of a picture.

    Parameters
    ----------
    inboxes : sequence of str
        Folders.
    recursive : bool
        Search them in depth.
    options : OutputOptions
        With a folder to write to. It is not searched if it lies in an inbox.
    stop : threading.Event
        Ends the iterator within a fraction of a second.
    interval, settled : float
        Seconds from one poll to the next; seconds without a change, after which a file is complete.

    Yields
    ------
    Job

    Raises
    ------
    UsageError
        If an inbox is no folder, or the results would not go to a folder of their own.

    Notes
    -----
    Memory grows by some hundred bytes with each file that lies in the inboxes, not with those that
    come and go. A folder that cannot be read is reported once and polled again.
    """
    _check(inboxes, recursive, options)
    options = with_common_base(inboxes, options)
    return _arrivals(Inboxes(inboxes, recursive, options, settled), stop, interval)


def _arrivals(inboxes: Inboxes, stop: threading.Event, interval: float) -> Iterator[Job]:
    while not stop.is_set():
        since, polling = time.monotonic(), 0.0  # seconds
        for job in inboxes.poll(stop):
            polling += time.monotonic() - since
            yield job  # and wait until there is room for another one
            since = time.monotonic()
        polling += time.monotonic() - since
        until = time.monotonic() + max(interval, polling * (1 / _POLL_SHARE - 1))
        while not stop.is_set() and (left := until - time.monotonic()) > 0:
            stop.wait(min(left, _TICK))


def _check(inboxes: Sequence[str], recursive: bool, options: OutputOptions) -> None:
    """Raise UsageError if results could arrive as pictures."""
    advice = "as in recolor --watch inbox/ -o out/"
    out = options.out
    if out is None or out == STREAM or os.path.isfile(out) or options.backup is not None:
        raise UsageError("--watch needs a folder for the results", advice)
    if not out.endswith("/") and ImageFormat.of_suffix(Path(out).suffix) and not os.path.isdir(out):
        raise UsageError(f"--watch needs a folder, {out} is the name of a picture", advice)
    for inbox in inboxes:
        if is_address(inbox):
            raise UsageError(
                f"--watch works on disks, and {inbox} is on a store",
                "start the same command without --watch again and again: what exists is skipped",
            )
        if not os.path.isdir(inbox):
            raise UsageError(f"--watch {inbox}: there is no such folder", advice)
        if os.path.realpath(inbox) == os.path.realpath(out):
            raise UsageError(f"the results would arrive in {inbox} as pictures", advice)
        if recursive and Path(os.path.realpath(inbox)).is_relative_to(os.path.realpath(out)):
            raise UsageError(f"{inbox} lies in {out}, where the results go", advice)
        if options.base is not None and relative_to(inbox, options.base) is None:
            raise UsageError(
                f"{inbox} does not lie in --base {options.base}",
                "name a folder that holds all the others",
            )
    check_places((), options)
    check_base(options, None)


class Inboxes:
    """Folders in which pictures arrive.

    Parameters
    ----------
    folders : sequence of str
    recursive : bool
        Search their folders, too.
    options : OutputOptions
    settled : float
        Seconds without a change, after which a file is complete.
    """

    def __init__(
        self, folders: Sequence[str], recursive: bool, options: OutputOptions, settled: float
    ) -> None:
        self._folders = folders
        self._recursive = recursive
        self._options = options
        self._suffix = result_suffix(options)
        self._out = os.path.realpath(str(options.out))
        self.known = _KnownFiles(settled)

    def poll(self, stop: threading.Event) -> Iterator[Job]:
        """Search the folders once, and yield the jobs of files that are complete."""
        for folder in self._folders:
            for found in self._search(folder):
                if stop.is_set():
                    return
                if isinstance(found, Job):
                    yield found
                elif job := self.known.job_of(found, self._options, self._suffix):
                    yield job
        self.known.forget_missing()

    def _search(self, inbox: str) -> Iterator[_InboxFile | Job]:
        """Yield the files in the order of their names, and jobs that report unreadable folders."""
        base = self._options.base
        within = None if base is None else relative_to(inbox, base)
        folders = [(inbox, f"{within.as_posix()}/" if within and within.name else "")]
        while folders:
            folder, relative = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    ordered = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                is_removed = isinstance(error, FileNotFoundError) and folder != inbox
                if not is_removed and (job := self.known.unreadable(folder, error)):
                    yield job
                continue
            below = []
            for entry in ordered:
                inner = f"{relative}{entry.name}"
                is_visible = not entry.name.startswith((".", "~"))
                is_visible &= not is_excluded(inner, self._options.exclude)
                try:
                    if entry.is_dir(follow_symlinks=False):
                        is_inbox = is_visible and not is_machine_made(entry.name)
                        if self._recursive and is_inbox and not self._is_output(entry.path):
                            below.append((entry.path, f"{inner}/"))
                    elif not (is_visible and _is_picture(entry.name)):
                        self.known.note_temporary(entry.inode())
                    elif entry.is_file():
                        yield _InboxFile(entry.path, inner, Path(entry.path).stat())
                except OSError:
                    continue  # it was removed or renamed just now
            folders += reversed(below)

    def _is_output(self, folder: str) -> bool:
        return os.path.realpath(folder) == self._out


class _KnownFiles:
    """The files that lie in the inboxes, a few numbers each.

    Parameters
    ----------
    settled : float
        Seconds without a change, after which a file is complete.
    """

    def __init__(self, settled: float) -> None:
        self._settled = settled
        # Names, fingerprints and destinations are kept as hashes.
        self._yielded: dict[int, int] = {}  # name -> fingerprint when its job was yielded
        self._waiting: dict[int, tuple[int, float]] = {}  # name -> fingerprint, and since when
        self._writer: dict[int, int] = {}  # destination -> name of the source
        self._unfinished: set[int] = set()  # inodes that had a temporary name at the last poll
        self._unreadable: set[str] = set()  # folders
        self._begin()

    def _begin(self) -> None:
        self._present: set[int] = set()
        self._temporary: set[int] = set()
        self._failed: set[str] = set()

    def job_of(self, found: _InboxFile, options: OutputOptions, suffix: str) -> Job | None:
        """Return the job of a file if it is complete and was not yielded as it is."""
        name, fingerprint = hash(found.path), _fingerprint(found.status)
        self._present.add(name)
        before = self._yielded.get(name)
        if before == fingerprint or not self._is_complete(name, fingerprint, found):
            return None
        self._waiting.pop(name, None)
        self._yielded[name] = fingerprint
        if error := unsupported_suffix(Path(found.path).suffix):
            return Job(found.path, error=error, is_unsupported=True)
        job = job_of(found.path, found.relative, options, suffix)._replace(redo=before is not None)
        destination = hash(os.path.normcase(os.path.abspath(job.destination)))
        writer = self._writer.setdefault(destination, name)
        is_other = writer != name and writer in self._yielded
        self._writer[destination] = writer if is_other else name
        return job._replace(error=conflict_error(job, "another picture")) if is_other else job

    def _is_complete(self, name: int, fingerprint: int, found: _InboxFile) -> bool:
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
        """End a poll: forget files that are gone, unless a folder could not be read."""
        self._unreadable, self._unfinished = self._failed, self._temporary
        if not self._failed:
            for known in (self._yielded, self._waiting):
                for name in known.keys() - self._present:
                    del known[name]
            for destination in [d for d, name in self._writer.items() if name not in self._yielded]:
                del self._writer[destination]
        self._begin()

    def __len__(self) -> int:
        return len(self._yielded) + len(self._waiting) + len(self._writer)


def _fingerprint(status: os.stat_result) -> int:
    """Return a number that changes with a file."""
    return hash((status.st_size, status.st_mtime_ns, status.st_ino))


def _is_picture(name: str) -> bool:
    """Tell whether a name has the ending of a picture, also of an unsupported one."""
    suffix = name[name.rfind(".") :] if "." in name else ""
    return bool(ImageFormat.of_suffix(suffix) or unsupported_suffix(suffix))
