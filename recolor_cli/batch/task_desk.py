"""Do the tasks of a worker process: with the options of the run, or with their own."""

from __future__ import annotations

from recolor_cli.batch.messages import Request, TaskMessage, WorkerConfig
from recolor_cli.batch.outcome import Outcome, Status, failed_unexpectedly
from recolor_cli.batch.picture import Budget, PictureWork
from recolor_cli.errors import RecolorError
from recolor_cli.model.color_network import ColorNetwork
from recolor_cli.recolorizer import Recolorizer

_MAX_NETWORKS = 3  # in memory, with that of the run


class TaskDesk:
    """Does the tasks of a process, one at a time.

    Parameters
    ----------
    config : WorkerConfig
    recolorizer : Recolorizer
        Of tasks without options of their own.
    threads : int
        For each network.
    budget : Budget
    """

    def __init__(
        self, config: WorkerConfig, recolorizer: Recolorizer, threads: int, budget: Budget
    ) -> None:
        self._config = config
        self._threads = threads
        self._budget = budget
        self._work = PictureWork(recolorizer, config.output, budget)
        self._own = recolorizer.network
        self._others: dict[str, ColorNetwork] = {}  # by name, the last used one last

    def do(self, task: TaskMessage) -> Outcome:
        """Make the missing outputs of a job. Errors are in the outcome."""
        if task.request is None:
            return self._work(task.job, task.missing)
        try:
            work = self._work_of(task.request)
        except RecolorError as error:
            return Outcome(task.job, Status.FAILED, error)
        except Exception as error:
            return failed_unexpectedly(task.job, error)
        return work(task.job, task.missing)

    def _work_of(self, request: Request) -> PictureWork:
        recolor, output = request.options()
        recolorizer = Recolorizer(self._network(request.model), recolor)
        return PictureWork(recolorizer, output, self._budget, request.picture)

    def _network(self, model: str) -> ColorNetwork:
        """Return the network of a model. It is loaded unless it is one of the last used."""
        if model == self._config.model:
            return self._own
        network = self._others.pop(model, None)
        if network is None:
            from recolor_cli.model.onnx_network import OnnxColorNetwork  # loads onnxruntime

            network = OnnxColorNetwork.load(model, self._config.device, self._threads)
            while len(self._others) >= _MAX_NETWORKS - 1:
                del self._others[next(iter(self._others))]
        self._others[model] = network
        return network
