"""The skip rule: which outputs of a job exist already."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from recolor_cli.batch.file_identity import is_same_file
from recolor_cli.batch.job import STREAM, Job
from recolor_cli.batch.output_options import OutputOptions


@dataclass(frozen=True, slots=True)
class MissingOutputs:
    """The outputs of a job that are to be made.

    Parameters
    ----------
    result : bool
    network_sidecars : tuple of str
        Paths of sidecar files that need the network.
    comparison_sidecars : tuple of str
        Paths of sidecar files that are made from the picture and its result.
    """

    result: bool
    network_sidecars: tuple[str, ...] = ()
    comparison_sidecars: tuple[str, ...] = ()

    @property
    def needs_network(self) -> bool:
        """Whether the picture has to be recolored."""
        return self.result or bool(self.network_sidecars)


def missing_outputs(job: Job, options: OutputOptions) -> MissingOutputs:
    """Return the outputs that a job still lacks; with a new result come all its sidecar files."""
    network = options.network_sidecars(job.destination)
    comparison = options.comparison_sidecars(job.destination)
    if not has_result(job, options):
        return MissingOutputs(True, tuple(network), tuple(comparison))
    return MissingOutputs(False, tuple(_absent(network)), tuple(_absent(comparison)))


def has_result(job: Job, options: OutputOptions) -> bool:
    """Tell whether the result exists and must stay."""
    if job.backup:
        # A backup that is still a second name of the picture was made by a run that was killed.
        return os.path.exists(job.backup) and not is_same_file(job.backup, job.destination)
    if job.destination == STREAM or options.overwrite or job.redo:
        return False
    if not os.path.isfile(job.destination):
        return False
    try:
        # A power cut may leave an empty file.
        return Path(job.destination).stat().st_size > 0
    except OSError:  # the file, or its disk, was removed just now
        return False


def _absent(paths: list[str]) -> list[str]:
    return [path for path in paths if not os.path.exists(path)]
