"""Divide the CPUs, cards and memory of machines among actors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recolor_cli.batch.sizing import PROCESS_MEMORY, processes_per_cpu
from recolor_cli.cluster.nodes import Node
from recolor_cli.system.device import Device, parse_device


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a machine that one actor gets.

    Parameters
    ----------
    cpus, gpus : int
    processes : int
        That recolor. A card's network is shared by all processes of the actor.
    device : str
    siblings : int
        Number of such actors that the machine has room for.
    """

    cpus: int
    gpus: int
    processes: int
    device: str
    siblings: int


def share_of(node: Node, device: str, on_store: bool = False) -> Share:
    """Return what each actor of a machine gets: a card with its part of the CPUs, or one CPU.

    Parameters
    ----------
    node : Node
    device : str
        `Share.siblings` is 0 if the machine cannot do what it demands.
    on_store : bool
        As `WorkerConfig.on_store`.
    """
    kind = parse_device(device)[0]
    if node.gpus and kind is not Device.CPU:
        cpus = max(1, node.cpus // node.gpus)
        return Share(cpus, 1, cpus * processes_per_cpu(True, on_store), device, node.gpus)
    if kind is Device.CUDA:
        return Share(0, 0, 0, device, 0)
    processes = processes_per_cpu(False, on_store)
    room = max(1, node.memory // (2 * PROCESS_MEMORY * processes))
    return Share(1, 0, processes, Device.CPU, min(node.cpus, room))


def whole_node(node: Node, device: str) -> Share:
    """Return the share of an actor that gets all CPUs of a machine, and one card if it has any."""
    part = share_of(node, device)
    return Share(max(1, node.cpus), part.gpus, 1, part.device, min(1, part.siblings))


def deal(total: int, rooms: Sequence[int]) -> list[int]:
    """Distribute so many actors over machines evenly, of which each has room for some.

    >>> deal(5, [1, 4, 4]), deal(100, [1, 4])
    ([1, 2, 2], [1, 4])
    """
    dealt = [0] * len(rooms)
    left = min(total, sum(rooms))
    while left > 0:
        for place, room in enumerate(rooms):
            if left and dealt[place] < room:
                dealt[place] += 1
                left -= 1
    return dealt
