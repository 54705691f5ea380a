"""What runs on the machines of a cluster: an actor of Ray's with a process that recolors.

The process is a pool of one, as a run on one machine has one of several. So a picture that kills it
is tried again and named by the same code there, and the actor outlives it.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from recolor_cli.batch.job import Job
from recolor_cli.batch.messages import ReadyMessage, WorkerConfig
from recolor_cli.batch.outcome import Outcome
from recolor_cli.batch.processes import ProcessWorkers
from recolor_cli.batch.sizing import memory_for_processes
from recolor_cli.batch.skip_rule import MissingOutputs
from recolor_cli.cluster.shared_places import SharedPlaces
from recolor_cli.errors import ModelError
from recolor_cli.model.model_files import digest_model


@dataclass(frozen=True, slots=True)
class ActorConfig:
    """What an actor needs to begin.

    Parameters
    ----------
    worker : WorkerConfig
        Its count is that of the processes of this actor.
    cpus : int
        That Ray gives to the actor.
    siblings : int
        Number of actors that share the memory of the machine.
    folder : str
        The driver's working folder, from which local names are looked up if the machine has it.
    digest : str
        Hash of the model that the driver has.
    preamble : str
        Python code that the processes run first.
    """

    worker: WorkerConfig
    cpus: int
    siblings: int
    folder: str
    digest: str
    preamble: str = ""


class PictureActor:
    """Recolors one picture after the other on a machine of the cluster."""

    def __init__(self) -> None:
        self._workers: ProcessWorkers | None = None

    def start(self, config: ActorConfig) -> ReadyMessage:
        """Start the process, which loads the network.

        Raises
        ------
        RecolorError
            As `ProcessWorkers`; ModelError if the model differs from the driver's.
        """
        with contextlib.suppress(OSError):
            os.chdir(config.folder)
        if digest_model(config.worker.model) != config.digest:
            raise ModelError(
                f"its model {config.worker.model} is another one",
                "install the same version of recolor and of the model there",
            )
        memory = memory_for_processes(config.siblings) // config.siblings
        self._workers = ProcessWorkers(config.worker, config.preamble, memory, config.cpus)
        return self._workers.ready

    def lacks(self, places: SharedPlaces) -> str:
        """Return the folder that this machine does not see; empty if it sees all."""
        return places.missing_here()

    def do(self, job: Job, missing: MissingOutputs) -> Outcome:
        """Make the missing outputs of a job. Errors are in the outcome."""
        assert self._workers
        return self._workers.submit(job, missing).result()
