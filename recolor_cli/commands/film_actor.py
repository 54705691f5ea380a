"""Recolor films on the machines of a cluster, each with all CPUs of one of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

from recolor_cli.batch.job import Job
from recolor_cli.batch.messages import ReadyMessage
from recolor_cli.batch.outcome import Outcome
from recolor_cli.cluster.shared_places import SharedModel, SharedPlaces
from recolor_cli.cluster.shares import Share, whole_node
from recolor_cli.cluster.work import ClusterWork, Task
from recolor_cli.commands.film_run import FilmSource, recolor_job
from recolor_cli.commands.report import load_network
from recolor_cli.terminal.console import Console
from recolor_cli.video.film_options import FilmOptions

if TYPE_CHECKING:
    from recolor_cli.model.onnx_network import OnnxColorNetwork


@dataclass(frozen=True, slots=True)
class _Config:
    """The configuration of an actor."""

    model: SharedModel
    device: str
    cpus: int  # that Ray gives to the actor, one for each frame at work
    options: FilmOptions
    rate: Fraction | None  # frames per second, of films that declare none


class FilmActor:
    """Recolors one film after the other on a machine of the cluster."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._console = Console(quiet=True)  # what Ray's processes print is lost
        self._config: _Config | None = None
        self._network: OnnxColorNetwork | None = None

    def start(self, config: _Config) -> ReadyMessage:
        """Load the network.

        Raises
        ------
        RecolorError
            As `load_network`, `require_distribution` and `SharedModel.check`.
        """
        config.model.check()
        network = load_network(config.model.name, config.device, config.cpus, self._console)
        if config.options.recolor.steering:
            network.require_distribution()
        self._config, self._network = config, network
        return ReadyMessage(network.manifest.name, network.device, network.cpu_reason, 1)

    def lacks(self, places: SharedPlaces) -> str:
        """Return the folder that this machine does not see; empty if it sees all."""
        return places.missing_here()

    def do(self, tasks: Sequence[Task]) -> list[Outcome | None]:
        """Recolor films."""
        return [None if self._stop.is_set() else self._recolor(job) for job, _ in tasks]

    def _recolor(self, job: Job) -> Outcome:
        assert self._config
        assert self._network
        source = FilmSource(job.source, rate=self._config.rate)
        options = self._config.options
        return recolor_job(job, source, self._network, options, self._console, self._stop)

    def stop(self) -> None:
        """End the film that is at work after the frames that are. A later run goes on there."""
        self._stop.set()


def film_work(model: str, device: str, options: FilmOptions, rate: Fraction | None) -> ClusterWork:
    """Return the work on films; raises ModelError if there is no such model."""
    shared = SharedModel.of(model)

    def config_of(share: Share) -> _Config:
        return _Config(shared, share.device, share.cpus, options, rate)

    return ClusterWork(FilmActor, partial(whole_node, device=device), config_of)
