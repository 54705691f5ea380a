"""Open ONNX Runtime sessions, and turn its failures into our errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as _ort_state

from recolor_cli.errors import DeviceError, ModelError
from recolor_cli.model.model_files import BROKEN_FILE_ADVICE
from recolor_cli.system.memory import is_out_of_memory

onnxruntime.disable_telemetry_events()  # for Windows, which heeds no variable

CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"
CUDA_HINT = "install CUDA's libraries with pip install 'recolor-cli[cuda]', or use --device cpu"

# onnxruntime's exceptions have no base class of their own, so collect them. Its bindings also raise
# RuntimeError, and UnicodeDecodeError where a message of C++ is no UTF-8.
ORT_ERRORS = tuple(
    value
    for value in (*vars(_ort_state).values(), RuntimeError, UnicodeDecodeError)
    if isinstance(value, type) and issubclass(value, Exception)
)
_BROKEN_FILE = (_ort_state.InvalidProtobuf, _ort_state.InvalidGraph, _ort_state.NoSuchFile)

_FATAL_ONLY = 4  # log severity


def available_providers() -> list[str]:
    """Return the providers that onnxruntime was built with, whether they work here or not."""
    return list(onnxruntime.get_available_providers())


def _as_text_or_bytes(graph: Path) -> str | bytes:
    """Return a file's name, or its contents where onnxruntime does not take the name."""
    try:
        str(graph).encode()
    except UnicodeEncodeError:  # no UTF-8
        return graph.read_bytes()
    return str(graph)


def open_session(
    graph: Path, options: onnxruntime.SessionOptions, providers: list[Any]
) -> onnxruntime.InferenceSession:
    """Open an ONNX file.

    Raises
    ------
    DeviceError
        If several providers were given and the first one cannot run.
    ModelError
        If the file cannot be loaded.
    """
    try:
        # Without `enable_fallback=0` onnxruntime retries on the CPU by itself and prints to stdout.
        return onnxruntime.InferenceSession(
            _as_text_or_bytes(graph), options, providers=providers, enable_fallback=0
        )
    except ORT_ERRORS as error:
        if len(providers) > 1 and not isinstance(error, _BROKEN_FILE):
            raise DeviceError(f"CUDA does not work: {one_line(error)}", CUDA_HINT) from error
        if is_out_of_memory(error):
            raise ModelError(
                f"there is not enough memory to load {graph}", "close other programs, or use -j 1"
            ) from error
        raise ModelError(
            f"{graph} cannot be loaded as a model: {one_line(error)}",
            BROKEN_FILE_ADVICE,
        ) from error


def open_cpu_session(graph: Path, threads: int) -> onnxruntime.InferenceSession:
    """Open an ONNX file on the CPU, with so many threads for one picture."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY  # failures are exceptions, too
    return open_session(graph, options, [CPU_PROVIDER])


def open_unoptimized(graph: Path) -> onnxruntime.InferenceSession:
    """Open an ONNX file only to look at it, in the shortest time."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = _FATAL_ONLY
    return open_session(graph, options, [CPU_PROVIDER])


def one_line(error: Exception | str) -> str:
    """Return a message of onnxruntime on one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]
