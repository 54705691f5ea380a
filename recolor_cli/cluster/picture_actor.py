"""Recolor pictures on the machines of a cluster: an actor of Ray's with a process that recolors.

The process is a pool of one, as a run on one machine has one of several. So a picture that kills it
is tried again and named by the same code there, and the actor outlives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace
from functools import partial

from recolor_cli.batch.messages import ReadyMessage, WorkerConfig
from recolor_cli.batch.outcome import Outcome
from recolor_cli.batch.processes import ProcessWorkers
from recolor_cli.batch.sizing import memory_for_processes
from recolor_cli.cluster.shared_places import SharedModel, SharedPlaces
from recolor_cli.cluster.shares import Share, share_of
from recolor_cli.cluster.work import ClusterWork, Task


@dataclass(frozen=True, slots=True)
class _Config:
    """The configuration of an actor.

    Parameters
    ----------
    worker : WorkerConfig
        Its count is that of the processes of this actor.
    cpus : int
        That Ray gives to the actor.
    siblings : int
        Number of actors that share the memory of the machine.
    model : SharedModel
    preamble : str
        Python code that the processes run first.
    """

    worker: WorkerConfig
    cpus: int
    siblings: int
    model: SharedModel
    preamble: str


class PictureActor:
    """Recolors pictures on a machine of the cluster."""

    def __init__(self) -> None:
        self._workers: ProcessWorkers | None = None

    def start(self, config: _Config) -> ReadyMessage:
        """Start the process, which loads the network.

        Raises
        ------
        RecolorError
            As `ProcessWorkers` and `SharedModel.check`.
        """
        config.model.check()
        processes = config.siblings * (config.worker.count or 1)
        memory = memory_for_processes(processes) // config.siblings
        self._workers = ProcessWorkers(config.worker, config.preamble, memory, config.cpus)
        return self._workers.ready

    def lacks(self, places: SharedPlaces) -> str:
        """Return the folder that this machine does not see; empty if it sees all."""
        return places.missing_here()

    def do(self, tasks: Sequence[Task]) -> list[Outcome | None]:
        """Make the missing outputs of jobs, as many at a time as there are processes."""
        assert self._workers
        futures = [self._workers.submit(job, missing) for job, missing in tasks]
        return list(map(_outcome, futures))

    def stop(self) -> None:
        """Begin no further picture; those that have begun are finished in a moment."""
        if self._workers:
            self._workers.stop()


def _outcome(future: Future[Outcome]) -> Outcome | None:
    try:
        return future.result()
    except CancelledError:
        return None


def picture_work(config: WorkerConfig, preamble: str = "") -> ClusterWork:
    """Return the work on pictures.

    Parameters
    ----------
    config : WorkerConfig
    preamble : str
        Python code that the processes which recolor run first.
    """
    model = SharedModel.of(config.model)

    def config_of(share: Share) -> _Config:
        worker = replace(config, device=share.device, count=share.processes, total=None)
        return _Config(worker, share.cpus, share.siblings, model, preamble)

    share = partial(share_of, device=config.device, on_store=config.on_store)
    return ClusterWork(PictureActor, share, config_of)
