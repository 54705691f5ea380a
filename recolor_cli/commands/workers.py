"""Open the workers of a run: threads of this process, or processes of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recolor_cli.commands.report import load_network, report_device

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
    device : str
        Device of the network; empty before it is open.
    """

    config: WorkerConfig
    console: Console
    in_threads: bool
    device: str = ""

    def __call__(self) -> Workers:
        """Load the network; raises ModelError or DeviceError."""
        return self._open_threads() if self.in_threads else self._open_processes()

    def _open_processes(self) -> Workers:
        from recolor_cli.batch.processes import ProcessWorkers

        workers = ProcessWorkers(self.config)
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
