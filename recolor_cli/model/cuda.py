"""CUDA: whether it can work, sessions that use it, and inputs and outputs in a card's memory.

**Untested on hardware.** Tests run this code on the CPU and with fake sessions; no card has run it
yet. `pytest -m gpu` compares a card with the CPU.

onnxruntime lists CUDA as available whenever its package could use it, and falls back to the CPU
with a mere log line when a library is missing. So a session counts as working only if it names CUDA
as its first provider and has run the network once (`OnnxColorNetwork.load` does that run).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from recolor_cli.errors import DeviceError
from recolor_cli.model.session import (
    CPU_PROVIDER,
    CUDA_HINT,
    CUDA_PROVIDER,
    available_providers,
    one_line,
    open_session,
)
from recolor_cli.system.capture import capture_output
from recolor_cli.system.device import NO_CUDA_PROVIDER, Device, why_no_driver
from recolor_cli.types import FloatArray

# Bytes of a card's memory that are kept for inputs. All input shapes of the default model (15
# canvases, 1 to 16 pictures) take half of it.
_KEPT_BYTES = 256 * 2**20
_WARNINGS = 2  # log severity


def why_no_cuda() -> str:
    """Return why CUDA cannot work, as far as that shows without a session; empty if it may work."""
    if CUDA_PROVIDER not in available_providers():
        return NO_CUDA_PROVIDER
    return why_no_driver()


def open_cuda_session(graph: Path, number: int) -> onnxruntime.InferenceSession:
    """Open an ONNX file on the card of this number; it has not run yet.

    Raises
    ------
    DeviceError
        If CUDA does not work, also where onnxruntime falls back to the CPU silently.
    ModelError
        If the file cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _WARNINGS  # the reason for a fallback is logged as a warning
    # Nothing else is set. cudnn_conv_use_max_workspace has an effect with cuDNN 8 only; the effects
    # of prefer_nhwc and fuse_conv_bias have not been measured.
    provider_options = {
        "device_id": str(number),
        # The default takes longer to plan a new shape: with cuDNN 8 it tries every algorithm, for
        # minutes; with cuDNN 9 it asks a slower heuristic.
        "cudnn_conv_algo_search": "HEURISTIC",
        # Allocate the memory that is needed, not up to twice as much, since others may use the
        # card, too.
        "arena_extend_strategy": "kSameAsRequested",
    }
    with capture_output() as captured:
        if hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()
        session = open_session(graph, options, [(CUDA_PROVIDER, provider_options), CPU_PROVIDER])
    if session.get_providers()[0] != CUDA_PROVIDER:
        raise DeviceError(f"CUDA does not work: {_fallback_reason(captured)}", CUDA_HINT)
    return session


def _fallback_reason(lines: list[str]) -> str:
    """Return the library that could not be loaded, from onnxruntime's log, or its first line."""
    for line in lines:
        if match := re.search(r"lib[\w.+-]+\.so[\w.]*: cannot open shared object file", line):
            return match[0]
    return one_line(lines[0]) if lines else "onnxruntime gave no reason"


class BoundSession:
    """Run a session with its inputs and outputs in a device's memory. Untested on hardware.

    Input buffers are kept from run to run: one per shape, and per thread that runs at the same
    time. Only the requested outputs are copied to the host. Threads may share an instance.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    kind : Device
        ``cuda``; in tests ``cpu``.
    number : int
        Of the device.
    """

    def __init__(self, session: onnxruntime.InferenceSession, kind: Device, number: int) -> None:
        self._session = session
        self._place = str(kind), number
        self._unused: list[_InputBuffers] = []  # the most recently used ones last
        self._lock = threading.Lock()

    def run(self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[FloatArray]:
        """Return the named outputs, like the session's own `run`; raise one of `ORT_ERRORS`."""
        buffers = self._take_buffers(feeds)
        binding = self._session.io_binding()
        for name, array in feeds.items():
            buffers.values[name].update_inplace(array)  # returns when the copy is complete
            # Bind anew for each run, because binding copies an input that the graph reads
            # elsewhere.
            binding.bind_ortvalue_input(name, buffers.values[name])
        for name in outputs:
            binding.bind_output(name, *self._place)
        self._session.run_with_iobinding(binding)  # waits for the device
        results = [value.numpy() for value in binding.get_outputs()]
        with self._lock:
            self._unused.append(buffers)
            while sum(kept.size for kept in self._unused) > _KEPT_BYTES:
                del self._unused[0]
        return results

    def _take_buffers(self, feeds: Mapping[str, NDArray[Any]]) -> _InputBuffers:
        """Return buffers for inputs of these shapes and types that no other thread uses."""
        key = {name: (array.shape, array.dtype) for name, array in feeds.items()}
        with self._lock:
            for i in reversed(range(len(self._unused))):
                if self._unused[i].key == key:
                    return self._unused.pop(i)
        values = {
            name: onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype, *self._place)
            for name, (shape, dtype) in key.items()
        }
        return _InputBuffers(key, values, sum(array.nbytes for array in feeds.values()))


@dataclass(frozen=True, slots=True)
class _InputBuffers:
    """A device's memory for the inputs of one run."""

    key: dict[str, tuple[tuple[int, ...], Any]]  # shape and type by input name
    values: dict[str, onnxruntime.OrtValue]
    size: int  # bytes
