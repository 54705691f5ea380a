"""The pictures of the folders that a server was given. No other file is read or written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from recolor_cli.batch.job import Job
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.plan import plan
from recolor_cli.errors import InputError, NoInputsError, OutputError


class GivenFiles:
    """The folders and pictures that a server was given.

    Parameters
    ----------
    inputs : sequence of str
        As they are named on the command line.

    Notes
    -----
    Links within a folder that lead out of it are refused, for reading and for writing. Programs
    that can change the folder meanwhile are trusted.
    """

    def __init__(self, inputs: Sequence[str]) -> None:
        self._inputs = tuple(inputs)
        real = [Path(os.path.realpath(name)) for name in inputs]
        self._folders = [path for path in real if path.is_dir()]
        self._pictures = {path for path in real if not path.is_dir()}

    def jobs(self, options: OutputOptions) -> list[Job]:
        """Return the pictures and the places of their results, as the command line plans them.

        Pictures that may not be read, and those whose results may not be written, have an error.
        """
        if not self._inputs:
            return []
        try:
            return [self._checked(job) for job in plan(self._inputs, False, options)]
        except NoInputsError:
            return []

    def may_read(self, path: str) -> bool:
        """Tell whether a file is one of those given, or lies in a folder that was."""
        real = Path(os.path.realpath(path))
        return real in self._pictures or self._is_inside(real)

    def may_write(self, path: str) -> bool:
        """Tell whether a result lies in a folder that was given, or beside a picture that was.

        A link as the last part of the path does not count: it would be replaced, not followed.
        """
        folder = Path(os.path.realpath(Path(path).parent))
        return self._is_inside(folder) or any(folder == own.parent for own in self._pictures)

    def _is_inside(self, real: Path) -> bool:
        return any(real.is_relative_to(folder) for folder in self._folders)

    def _checked(self, job: Job) -> Job:
        if job.error:
            return job
        if not self.may_read(job.source):
            error = InputError(
                f"{Path(job.source).name} is a link that leads out of the folder",
                "name its folder, too, when the server is started",
            )
            return replace(job, error=error)
        if not self.may_write(job.destination):
            return replace(
                job,
                error=OutputError(
                    f"{job.destination} lies outside the folders that were given",
                    "name its folder, too, when the server is started",
                ),
            )
        return job
