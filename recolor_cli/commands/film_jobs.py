"""Do the films of a run: here, one after the other, or on the machines of a cluster."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from recolor_cli.batch.job import Job
from recolor_cli.batch.outcome import Outcome, Status
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.skip_rule import MissingOutputs
from recolor_cli.batch.targets import Targets
from recolor_cli.commands.film_plan import find_result, make_untried_outcome
from recolor_cli.commands.film_run import FilmSource, find_misfit, recolor_job
from recolor_cli.commands.report import load_network, missing_extra, report_device
from recolor_cli.system.device import cpu_count
from recolor_cli.system.places import is_address
from recolor_cli.system.prefetch import ordered_results
from recolor_cli.terminal.console import Console
from recolor_cli.video.film_options import FilmOptions
from recolor_cli.video.job import clean_up
from recolor_cli.video.raw_frames import RawFrames

if TYPE_CHECKING:
    from recolor_cli.cluster.workers import ClusterWorkers
    from recolor_cli.model.onnx_network import OnnxColorNetwork


@dataclass
class FilmJobs:
    """The films of a run. The model is loaded for the first one that needs it.

    Parameters
    ----------
    jobs : sequence of Job
    output : OutputOptions
    options : FilmOptions
    model, device : str
        The device is that of the network once it is loaded.
    raw : RawFrames or None
        Layout of standard input without a header.
    rate : Fraction or None
        Frames per second, of films that declare none.
    dry_run : bool
    console : Console
    stop : threading.Event
        Once it is set, films at work are left after the frames that are, and no other one begins.
    """

    jobs: Sequence[Job]
    output: OutputOptions
    options: FilmOptions
    model: str
    device: str
    raw: RawFrames | None
    rate: Fraction | None
    dry_run: bool
    console: Console
    stop: threading.Event
    loaded_device: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._targets = Targets(self.output.out)

    def here(self) -> Iterator[Outcome]:
        """Do one film after the other. All CPUs work on it, each on a frame of its own."""
        network: OnnxColorNetwork | None = None
        for job in self.jobs:
            outcome = self._early_outcome(job)
            if outcome is None:
                network = network or self._load()
                source = self._source(job)
                outcome = recolor_job(job, source, network, self.options, self.console, self.stop)
                self._targets.note(outcome)
            yield outcome
            if self.stop.is_set():
                return

    def on_cluster(self, address: str) -> Iterator[Outcome]:
        """Do the films on the machines of a cluster, and yield their outcomes in their order."""
        workers: ClusterWorkers | None = None

        def submit(job: Job) -> Future[Outcome]:
            nonlocal workers
            if outcome := self._early_outcome(job):
                settled: Future[Outcome] = Future()
                settled.set_result(outcome)
                return settled
            workers = workers or self._open(address)
            return workers.submit(job, MissingOutputs(True))

        def cancel() -> None:
            if workers:
                workers.stop()

        count = len(self.jobs)
        try:
            with self.console.progress(count, "films", "recoloring") as bar:
                for outcome in ordered_results(submit, self.jobs, count, self.stop, cancel):
                    self._targets.note(outcome)
                    yield outcome
                    bar.advance()
        finally:
            if workers:
                workers.close()

    def _early_outcome(self, job: Job) -> Outcome | None:
        """Return the outcome of a film that needs no work; None if it needs some."""
        start, result = self.options.start, None
        if not job.error:
            result = find_result(job, self.output, start, self.rate)
        untried = make_untried_outcome(job, result is not None, self.options.provenance)
        if result is not None:
            if not (self.dry_run or is_address(job.destination)):
                clean_up(Path(job.destination), Path(result))
            misfit = find_misfit(self._source(job), self.options)
            return Outcome(job, Status.FAILED, misfit) if misfit else untried
        if job.error:
            return untried
        if refusal := self._targets.refusal(job):
            return Outcome(job, Status.FAILED, refusal)
        return untried if self.dry_run else None

    def _source(self, job: Job) -> FilmSource:
        return FilmSource(job.source, self.raw, self.rate)

    def _load(self) -> OnnxColorNetwork:
        network = load_network(self.model, self.device, cpu_count(), self.console)
        if self.options.recolor.steering:
            network.require_distribution()
        self.loaded_device = network.device
        return network

    def _open(self, address: str) -> ClusterWorkers:
        try:
            from recolor_cli.cluster.workers import ClusterWorkers
            from recolor_cli.commands.film_actor import film_work
        except ImportError as error:
            raise missing_extra("cluster", error) from error

        work = film_work(self.model, self.device, self.options, self.rate)
        workers = ClusterWorkers(address, work, len(self.jobs), self.console.warn, self.stop)
        if workers.ready:  # else the run was stopped before
            report_device(workers.ready, self.console)
            self.loaded_device = workers.ready.device
        return workers
