"""How much memory this process may still take."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def available_memory() -> int:
    """Return the bytes of memory that this process may still take, container limits included."""
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
                free = min(free, _left_in(part))
    return free


def _left_in(group: Path) -> int:
    """Return what a control group's limit leaves; the page cache is given back when needed."""
    try:
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
        statistics = (group / "memory.stat").read_text(encoding="ascii").split()
        cache = int(statistics[statistics.index("inactive_file") + 1])
    except (OSError, ValueError):  # no limit ("max"), or no such group
        return sys.maxsize
    return max(limit - used + cache, 0)
