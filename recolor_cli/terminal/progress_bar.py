"""The progress bar."""

from __future__ import annotations

from rich.console import Console as RichConsole
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text


class Bar:
    """A progress bar with the rate and the remaining time.

    It is shown while a block of its `progress` runs.

    Parameters
    ----------
    console : rich.console.Console
    total : int or None
        Number of items, if it is known.
    unit : str
        Noun for the items, in the plural. Of ``bytes`` the bar shows MB.
    description : str
        Text before the bar.
    """

    is_shown = True

    def __init__(
        self, console: RichConsole, total: int | None, unit: str, description: str
    ) -> None:
        counts: tuple[ProgressColumn, ...] = (MofNCompleteColumn(), _RateColumn(unit))
        if unit == "bytes":
            counts = (DownloadColumn(), TransferSpeedColumn())
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            *counts,
            TimeRemainingColumn(),
            console=console,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self.progress.add_task(description, total=total)

    def advance(self, count: int = 1) -> None:
        """Count items as done."""
        self.progress.advance(self._task, count)

    def describe(self, description: str) -> None:
        """Change the text before the bar."""
        self.progress.update(self._task, description=description)


class _RateColumn(ProgressColumn):
    """A column with the items per second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Return the rate as text."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} {self._unit}/s" if speed else "", style="progress.data.speed")
