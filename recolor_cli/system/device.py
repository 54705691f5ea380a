"""CPUs and CUDA devices: their number, the user's choice, and whether a driver is installed."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from enum import StrEnum

from recolor_cli.errors import UsageError

NO_CUDA_PROVIDER = "the installed onnxruntime has no CUDA provider"

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
NO_CUDA_ADVICE = "install the card's driver, or use --device cpu"


def cpu_count() -> int:
    """Return the number of CPUs that this process may use, which may be fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Device(StrEnum):
    """The kind of device that runs the network; a number may follow it, as in ``cuda:1``."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def parse_device(name: str) -> tuple[Device, int]:
    """Split ``cuda:1`` into its kind and its number, which is 0 if it is not given.

    Raises
    ------
    UsageError
        If the name is none of ``auto``, ``cpu``, ``cuda``, ``cuda:N``.
    """
    if match := re.fullmatch(r"cuda:(\d{1,2})", name.lower()):
        return Device.CUDA, int(match[1])
    try:
        return Device(name.lower()), 0
    except ValueError as error:
        raise UsageError(
            f"there is no device {name or repr(name)}",
            "use auto, cpu, cuda or cuda:N with a number",
        ) from error


def why_no_driver() -> str:
    """Return a message if no NVIDIA driver is installed, else an empty text."""
    try:
        ctypes.CDLL(_DRIVER)
    except OSError:
        return f"no NVIDIA driver ({_DRIVER}) was found"
    return ""


def why_no_card(number: int) -> str:
    """Return a message if the driver knows no card of this number, else an empty text."""
    if reason := why_no_driver():
        return reason
    driver, count = ctypes.CDLL(_DRIVER), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return "the NVIDIA driver finds no card"
    if number >= count.value:
        return f"there is no card {number}; there are {count.value}, counted from 0"
    return ""
