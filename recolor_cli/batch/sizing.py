"""Choose the number of pictures at a time, and the memory that they share."""

from __future__ import annotations

from recolor_cli.batch.messages import WorkerConfig
from recolor_cli.system.device import cpu_count
from recolor_cli.system.memory import available_memory, memory_for_pictures

MAX_PROCESSES = 256
PROCESS_MEMORY = 200 * 2**20  # bytes that a process takes beside its picture, about


def pictures_at_a_time(config: WorkerConfig, on_gpu: bool) -> int:
    """Return the number of pictures at a time that is asked for, or that keeps the CPUs busy."""
    wanted = config.count or min(
        # While some wait for the GPU, others decode and encode.
        cpu_count() * (2 if on_gpu else 1),
        max(1, available_memory() // (2 * PROCESS_MEMORY)),
    )
    return min(wanted, config.total or MAX_PROCESSES, MAX_PROCESSES)


def memory_for_processes(count: int) -> int:
    """Return the bytes for the pictures of so many processes that are about to start."""
    free = memory_for_pictures()
    return max(free - count * PROCESS_MEMORY, free // 2)
