"""Choose the number of pictures at a time, and the memory that they share."""

from __future__ import annotations

from recolor_cli.batch.messages import WorkerConfig
from recolor_cli.model.model_files import find_files
from recolor_cli.system.device import cpu_count
from recolor_cli.system.memory import available_memory, memory_for_pictures

MAX_PROCESSES = 256
PROCESS_MEMORY = 200 * 2**20  # bytes that a process takes beside its picture, about
# Pictures at a time for each CPU: while some wait for the GPU or for a store, others compute.
_WITH_GPU = 2
_WITH_STORE = 3
_LARGE_FILE = 50 * 2**20  # bytes; the network in it may take more


def pictures_at_a_time(config: WorkerConfig, on_gpu: bool, seen: int = 0) -> int:
    """Return the number of pictures at a time that is asked for, or that keeps the CPUs busy.

    Parameters
    ----------
    config : WorkerConfig
    on_gpu : bool
        Whether the program holds the network for all processes.
    seen : int
        Bytes that a process with the network was seen to take; 0 if that is unknown.
    """
    wanted = config.count or min(
        cpu_count() * processes_per_cpu(on_gpu, config.on_store),
        # A picture needs memory, too.
        max(1, available_memory() // (PROCESS_MEMORY + max(seen, PROCESS_MEMORY))),
    )
    return min(wanted, config.total or MAX_PROCESSES, MAX_PROCESSES)


def processes_per_cpu(on_gpu: bool, on_store: bool) -> int:
    """Return the number of processes that keep a CPU busy.

    Parameters
    ----------
    on_gpu : bool
        Whether the network is on a GPU.
    on_store : bool
        As `WorkerConfig.on_store`.
    """
    return max(_WITH_GPU if on_gpu else 1, _WITH_STORE if on_store else 1)


def needs_trial(config: WorkerConfig) -> bool:
    """Tell whether a process must show how much memory the network takes.

    Raises
    ------
    ModelError
        If the model is missing.
    """
    if config.count:
        return False
    files = find_files(config.model, 8)
    return files.profile is not None or files.graph.stat().st_size > _LARGE_FILE


def memory_for_processes(count: int, seen: int = 0) -> int:
    """Return the bytes for the pictures of so many processes that are about to start.

    `seen` is as in `pictures_at_a_time`.
    """
    free = memory_for_pictures()
    return max(free - count * max(seen, PROCESS_MEMORY), free // 2)
