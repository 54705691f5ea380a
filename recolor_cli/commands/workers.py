"""Open the workers of a run: threads of this process, other processes, or other machines."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recolor_cli.commands.report import load_network, missing_extra, report_device

if TYPE_CHECKING:
    from recolor_cli.batch.messages import WorkerConfig
    from recolor_cli.batch.run import Workers
    from recolor_cli.terminal.console import Console


@dataclass
class WorkerOpener:
    """Opens the workers of a run.

    Parameters
    ----------
    config : WorkerConfig
    console : Console
    in_threads : bool
        Whether they are threads of this process.
    cluster : str or None
        Address of a cluster, whose machines they are on.
    stop : threading.Event or None
        Once it is set, a cluster is no longer waited for.
    device : str
        Device of the network; empty before it is open.
    """

    config: WorkerConfig
    console: Console
    in_threads: bool
    cluster: str | None = None
    stop: threading.Event | None = None
    device: str = ""

    def __call__(self) -> Workers:
        """Load the network; raises ModelError, DeviceError, or RecolorError of a cluster."""
        if self.cluster is not None:
            return self._open_cluster(self.cluster)
        return self._open_threads() if self.in_threads else self._open_processes()

    def _open_processes(self) -> Workers:
        from recolor_cli.batch.processes import ProcessWorkers

        workers = ProcessWorkers(self.config)
        report_device(workers.ready, self.console)
        self.device = workers.ready.device
        return workers

    def _open_cluster(self, address: str) -> Workers:
        try:
            from recolor_cli.cluster.picture_actor import picture_work
            from recolor_cli.cluster.workers import ClusterWorkers
        except ImportError as error:
            raise missing_extra("cluster", error) from error

        config = self.config
        limit = min(config.count or sys.maxsize, config.total or sys.maxsize)
        work = picture_work(config)
        workers = ClusterWorkers(address, work, limit, self.console.warn, self.stop)
        if workers.ready:  # else the run was stopped before
            report_device(workers.ready, self.console)
            self.device = workers.ready.device
        return workers

    def _open_threads(self) -> Workers:
        from recolor_cli.batch.sizing import pictures_at_a_time
        from recolor_cli.batch.threads import ThreadWorkers
        from recolor_cli.recolorizer import Recolorizer

        config = self.config
        count = pictures_at_a_time(config, on_gpu=False)
        network = load_network(config.model, config.device, count, self.console)
        if config.needs_distribution:
            network.require_distribution()
        self.device = network.device
        return ThreadWorkers(Recolorizer(network, config.recolor), config.output, count)
