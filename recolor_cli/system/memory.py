"""Free memory, and a budget that divides it among pictures."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from recolor_cli.errors import InputError, RecolorError

NO_MEMORY = "there is not enough memory for it"
MEMORY_ADVICE = "make it smaller, use fewer --jobs, or close other programs"
_SHARE = 0.9  # part of the free memory that pictures may take
# Messages of libraries that raise errors of their own when memory is lacking: OpenCV, onnxruntime,
# decoders, the loader of shared libraries, and Python where no thread can be started.
_LACK = re.compile(
    r"out of memory|(not enough|insufficient|no) memory|bad.?alloc|can(no|')t start new thread|"
    r"(cannot|can't|could not|unable to|failed to) (allocate|map segment)",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Tell whether an error, or one that it was raised from, means that memory was lacking."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return True
        if not _names_file(error) and _LACK.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _names_file(error: BaseException) -> bool:
    """Tell whether an error's text holds the name of a file, which may be any text."""
    if isinstance(error, OSError):
        # Decoders raise the plain class, with their own words and without a number.
        return type(error) is not OSError or error.errno is not None
    return isinstance(error, RecolorError)


def available_memory() -> int:
    """Return the free memory, bytes. Limits of containers count."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        values = dict(line.split(":", 1) for line in lines)
        free = int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux
        try:
            free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, OSError, ValueError):
            free = 8 * 2**30  # Windows has no sysconf; a common size
    group = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8").rpartition("::/")[2].strip()
        for part in (group / own, *(group / own).parents):
            if part.is_relative_to(group):
                free = min(free, _free_in_group(part))
    return free


def _free_in_group(group: Path) -> int:
    """Return the bytes that the limit of a control group leaves. Its page cache counts as free."""
    try:
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
        statistics = (group / "memory.stat").read_text(encoding="ascii").split()
        cache = int(statistics[statistics.index("inactive_file") + 1])
    except (OSError, ValueError):  # no limit ("max"), or no such group
        return sys.maxsize
    return max(limit - used + cache, 0)


class UsedMemory(NamedTuple):
    """The memory that this process holds in RAM, bytes; 0 where the system does not tell."""

    now: int
    most: int  # since it began


def used_memory() -> UsedMemory:
    """Return what this process takes. Outside Linux, `now` is the most, too."""
    with contextlib.suppress(OSError, KeyError, ValueError):
        # getrusage would count the program that started this one, too.
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        values = dict(line.split(":", 1) for line in lines)
        now, most = (int(values[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM"))
        return UsedMemory(now, most)
    if sys.platform == "win32":
        return UsedMemory(0, 0)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return UsedMemory(most, most)


def memory_for_pictures() -> int:
    """Return the memory that all pictures at work may take together, bytes."""
    return int(available_memory() * _SHARE)


class MemoryBudget:
    """A budget of memory. Large pictures wait for each other instead of failing.

    Parameters
    ----------
    total : int
        Bytes that all pictures at work may take together.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._used = 0
        self._changed = threading.Condition()

    def acquire(self, needed: int) -> None:
        """Wait until so many bytes are free, and hold them.

        Raises
        ------
        InputError
            If the whole budget is smaller.
        """
        if needed > self._total:
            raise InputError(
                f"it needs about {needed / 2**30:.1f} GiB of memory, "
                f"{self._total / 2**30:.1f} GiB are free",
                "make it smaller first, or use a larger machine",
            )
        with self._changed:
            self._changed.wait_for(lambda: self._used + needed <= self._total)
            self._used += needed

    def release(self, needed: int) -> None:
        """Give back so many bytes that were held."""
        with self._changed:
            self._used -= needed
            self._changed.notify_all()

    @contextlib.contextmanager
    def reserve(self, needed: int) -> Iterator[None]:
        """Hold so many bytes while the block runs; as `acquire`."""
        self.acquire(needed)
        try:
            yield
        finally:
            self.release(needed)
