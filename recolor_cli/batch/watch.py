"""Watch folders: each picture that arrives becomes a job once its file is complete.

The folders are polled, because the kernel's notifications do not tell what other machines write to
a share.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from recolor_cli.batch.destination import (
    check_base,
    check_places,
    result_suffix,
    with_common_base,
)
from recolor_cli.batch.exclusion import is_excluded, is_machine_made
from recolor_cli.batch.job import STREAM, Job
from recolor_cli.batch.known_files import InboxFile, KnownFiles
from recolor_cli.batch.outcome import Outcome
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.errors import OutputError, UsageError
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.unsupported import unsupported_suffix
from recolor_cli.system.files import mount_point, why_not_mounted
from recolor_cli.system.places import below, is_address, relative_to
from recolor_cli.system.stores import LISTINGS

INTERVAL = 1.0  # seconds from one poll to the next
SETTLED = 2.0  # seconds without a change, after which a file is complete
_POLL_SHARE = 0.2  # part of the time that polls may take: large folders are polled less often
_TICK = 0.2  # seconds in which a stop is noticed


class Arrivals(Iterator[Job]):
    """Poll folders until told to stop, and yield a job for each picture that is complete.

    A file is complete when its size and time have not changed for a while, or at once if it was
    renamed into place, as programs do that write ``x.jpg.part`` first. A file that changes after
    its job was yielded is yielded again, with `Job.redo` if its result is that of the earlier
    state; others never are. Ignored are names that begin with a dot or ``~`` and names without the
    ending of a picture.

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

    Raises
    ------
    UsageError
        If an inbox is no folder, or the results would not go to a folder of their own.

    Notes
    -----
    Memory grows by some hundred bytes with each file that lies in the inboxes, not with those that
    come and go. A folder that cannot be read is reported once and polled again.
    """

    def __init__(
        self,
        inboxes: Sequence[str],
        recursive: bool,
        options: OutputOptions,
        stop: threading.Event,
        interval: float = INTERVAL,
        settled: float = SETTLED,
    ) -> None:
        _check(inboxes, recursive, options)
        by_place: dict[str, str] = {}  # one inbox may have several names
        for inbox in inboxes:
            by_place.setdefault(os.path.realpath(inbox), inbox)
        inboxes = list(by_place.values())
        options = with_common_base(inboxes, options)
        watched = Inboxes(inboxes, recursive, options, settled)
        watched.check()
        self._known = watched.known
        self._jobs = _arrivals(watched, stop, interval)

    def __next__(self) -> Job:
        return next(self._jobs)

    def note(self, outcome: Outcome) -> None:
        """Remember what became of a job; in any thread."""
        self._known.note(outcome)


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
    """Raise UsageError if folders cannot be watched, or the results would not go to another one."""
    check_places((), options)
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
        self._mounts = {folder: mount_point(Path(folder)) for folder in folders}
        self._recursive = recursive
        self._options = options
        self._suffix = result_suffix(options)
        self._out = os.path.realpath(str(options.out))
        self._settled = settled
        self._begun: float | None = None  # when the first poll was over
        self.known = KnownFiles(settled)

    def check(self) -> None:
        """Raise UsageError if results would arrive as pictures."""
        for inbox in self._mounts:
            place = below(str(self._options.out), self._relative(inbox))
            if found := self._inbox_of(place):
                raise UsageError(
                    f"the results of {inbox} would arrive in {found} as pictures",
                    "choose another -o",
                )

    def poll(self, stop: threading.Event) -> Iterator[Job]:
        """Search the folders once, and yield the jobs of files that are complete."""
        since = time.monotonic()
        for folder in self._mounts:
            for found in self._search(folder):
                if stop.is_set():
                    return
                if isinstance(found, Job):
                    yield found
                elif job := self.known.job_of(found, self._options, self._suffix):
                    yield self._checked(job)
        self.known.forget_missing()
        if self._begun is None:
            self._begun = time.monotonic()
        elif since - self._begun >= self._settled:  # what lay there at the start was yielded
            LISTINGS.ask_for_each()

    def _checked(self, job: Job) -> Job:
        """Return a job, with an error if its result would arrive as a picture."""
        if job.error or is_address(job.destination):
            return job
        place = Path(os.path.realpath(job.destination))
        if not (inbox := self._inbox_of(str(place.parent))):
            return job
        error = OutputError(
            f"{job.destination} would arrive in {inbox} as a picture", "choose another -o"
        )
        return job._replace(error=error)

    def _inbox_of(self, folder: str) -> str | None:
        """Return the inbox in which the files of a folder arrive, or None."""
        if is_address(folder):
            return None
        place = Path(os.path.realpath(folder))
        in_depth = self._recursive and not place.is_relative_to(self._out)
        for inbox in self._mounts:
            top = os.path.realpath(inbox)
            if place == Path(top) or (in_depth and place.is_relative_to(top)):
                return inbox
        return None

    def _relative(self, inbox: str) -> Path:
        """Return the path of an inbox below the base."""
        base = self._options.base
        return (relative_to(inbox, base) if base is not None else None) or Path()

    def _search(self, inbox: str) -> Iterator[InboxFile | Job]:
        """Yield the files in the order of their names, and jobs that report unreadable folders."""
        within, mount = self._relative(inbox), self._mounts[inbox]
        folders = [(inbox, f"{within.as_posix()}/" if within.name else "")]
        while folders:
            folder, relative = folders.pop()
            try:
                if reason := why_not_mounted(mount):
                    raise OSError(errno.ENODEV, reason)
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
                        yield InboxFile(entry.path, folder, inner, Path(entry.path).stat())
                except OSError:
                    continue  # it was removed or renamed just now
            folders += reversed(below)

    def _is_output(self, folder: str) -> bool:
        return os.path.realpath(folder) == self._out


def _is_picture(name: str) -> bool:
    """Tell whether a name has the ending of a picture, also of an unsupported one."""
    suffix = name[name.rfind(".") :] if "." in name else ""
    return bool(ImageFormat.of_suffix(suffix) or unsupported_suffix(suffix))
