"""The progress of a training: reported to the caller, and appended to a log of JSON lines."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from recolor_cli.evaluation.metrics import Figures
from recolor_cli.system.files import write_error
from recolor_cli.training.data import Batch
from recolor_cli.training.run_state import RunState

LOG = "log.jsonl"


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """The state of a running training."""

    samples: int
    total: int  # samples
    loss: float  # mean over the steps since the last report
    rate: float  # samples per second since the last report
    waiting: float  # share of that time in which the network waited for samples
    learning_rate: float
    figures: Figures | None = None  # where a validation took place

    @property
    def remaining_s(self) -> float:
        """Seconds that the rest takes at this rate."""
        return (self.total - self.samples) / self.rate

    def to_json(self) -> str:
        """Return one line of JSON. NaN and infinity, which JSON does not have, become null."""
        values = asdict(self)
        for part in (values, values["figures"] or {}):
            for key, value in part.items():
                if isinstance(value, float) and not math.isfinite(value):
                    part[key] = None
        return json.dumps(values, allow_nan=False)


class ProgressLog:
    """Collect the losses of a run, and report their mean to a file and a callback."""

    def __init__(
        self, path: Path, run: RunState, report: Callable[[TrainingProgress], None], every_s: float
    ) -> None:
        self._path = path
        self._run = run
        self._report = report
        self._every_s = every_s
        self._losses: list[Tensor] = []
        self._since = time.monotonic()  # the time and the step of the last report
        self._step = run.step
        self._waited_s = 0.0  # since then

    def next_samples(self, stream: Iterator[list[Batch]]) -> list[Batch]:
        """Take the samples of a step, and count the time until they are there."""
        start = time.monotonic()
        samples = next(stream)
        self._waited_s += time.monotonic() - start
        return samples

    def add(self, loss: Tensor, figures: Figures | None) -> None:
        """Take the loss of a step. Report if it is time, or if there are figures of a validation.

        Losses stay on the device until then, because a copy would wait for the step to end.
        """
        self._losses.append(loss.detach())
        elapsed = time.monotonic() - self._since
        if not (figures or elapsed > self._every_s or self._run.is_finished):
            return
        run = self._run
        progress = TrainingProgress(
            samples=run.samples,
            total=run.steps * run.config.batch_size,
            loss=float(torch.stack(self._losses).mean()),
            rate=(run.step - self._step) * run.config.batch_size / elapsed,
            waiting=self._waited_s / elapsed,
            learning_rate=run.learning_rate,
            figures=figures,
        )
        self._report(progress)
        try:
            with self._path.open("a", encoding="utf-8") as log:
                log.write(progress.to_json() + "\n")
        except OSError as error:
            raise write_error(self._path, error) from error
        self._losses.clear()
        self._since, self._step, self._waited_s = time.monotonic(), run.step, 0.0
