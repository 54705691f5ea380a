"""Find what is known of a job before any work is done for it."""

from __future__ import annotations

import os
from pathlib import Path

from recolor_cli.batch.job import STREAM, Job
from recolor_cli.batch.outcome import Outcome, Status, made_otherwise, not_tried
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.skip_rule import MissingOutputs, find_foreign_sidecar
from recolor_cli.batch.targets import Targets
from recolor_cli.errors import InputError, OutputError, RecolorError
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.system.places import is_address


class Preflight:
    """Tells which jobs need no worker: they fail at once, or all of their outputs exist.

    Parameters
    ----------
    options : OutputOptions
    recolor : RecolorOptions
        Options that do not fit a picture are an error, also if its result exists.
    """

    def __init__(self, options: OutputOptions, recolor: RecolorOptions) -> None:
        self._options = options
        self._recolor = recolor
        self.targets = Targets(options.out)

    def outcome(self, job: Job, missing: MissingOutputs) -> Outcome | None:
        """Return the outcome of a job that needs no worker; None if it needs one."""
        if job.error:
            return not_tried(job, job.error)
        writes = missing.result or missing.sidecars
        if writes and (refusal := self.targets.refusal(job)):
            return Outcome(job, Status.FAILED, refusal)
        try:
            if path := find_foreign_sidecar(job, missing, self._options):
                return Outcome(job, Status.FAILED, _sidecar_error(job, path))
        except InputError as failure:  # a store does not tell
            return Outcome(job, Status.FAILED, failure)
        if missing.needs_network:
            return None
        if error := self.input_error(job):
            return Outcome(job, Status.FAILED, error)
        if missing.difference:
            return made_otherwise(job, missing.difference)
        if missing.comparison_sidecars or self._options.thumbnails:
            return None
        return Outcome(job, Status.SKIPPED)

    def input_error(self, job: Job) -> RecolorError | None:
        """Return the error of a picture that is missing, or that the options do not fit."""
        if job.source == STREAM or is_address(job.source):  # a store is not asked for each picture
            return None
        if not os.path.exists(job.source):
            return InputError("no such file", "check the name")
        return self._misfit(job) if self._recolor.names_places else None

    def _misfit(self, job: Job) -> InputError | None:
        # The program that starts worker processes needs these for masks and hints alone.
        from recolor_cli.image.probe import probe
        from recolor_cli.image.unsupported import check_format
        from recolor_cli.recolorizer import check_fit
        from recolor_cli.system.files import read

        path = Path(job.source)
        if job.backup and os.path.exists(job.backup):
            path = Path(job.backup)
        try:
            size = probe(read(path, check_format).data).displayed_size()
        except RecolorError:  # of the file; its worker reports it, if there is anything to do
            return None
        try:
            check_fit(size, self._recolor)
        except InputError as error:
            return error
        return None


def _sidecar_error(job: Job, path: str) -> OutputError:
    advice = "rename it, or choose another -o or --suffix; --overwrite replaces it"
    return OutputError(
        f"{path} exists, and does not say that it is a sidecar file of this result",
        "rename it" if job.backup else advice,
    )
