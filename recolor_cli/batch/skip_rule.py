"""The skip rule: which outputs of a job exist already."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from recolor_cli.batch.job import STREAM, Job
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.system.files import has_same_content


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
        # A run that ended between the backup and the result leaves a backup like the picture.
        backup, picture = Path(job.backup), Path(job.destination)
        return backup.exists() and not has_same_content(backup, picture)
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
