"""What people see: messages, tables and progress on stderr.

With `terminal.progress_bar` the only user of rich, which is loaded when something is to be shown: a
start is the faster.

Standard output is for data: paths of written files, JSON, pictures. A bar is shown on a terminal
only; rich honours NO_COLOR.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from recolor_cli.errors import OutputError
from recolor_cli.terminal.streams import stdout_is_terminal, write_stdout

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

    from recolor_cli.terminal.progress_bar import Bar


class Ticker:
    """What counts as work goes on; this one shows nothing."""

    is_shown = False

    def advance(self, count: int = 1) -> None:
        """Count some as done."""

    def describe(self, description: str) -> None:
        """Change what is said before the bar."""


class Console:
    """Speaks to the user.

    Parameters
    ----------
    quiet : bool
        Say nothing but errors, and print no paths.
    verbose : bool
        Say more, and show tracebacks.
    """

    def __init__(self, quiet: bool = False, verbose: bool = False) -> None:
        self.quiet = quiet
        self.verbose = verbose
        self._bar_is_shown = False
        self.lost_output = False

    @cached_property
    def _stderr(self) -> RichConsole:
        from rich.console import Console as RichConsole

        return RichConsole(stderr=True, highlight=False, soft_wrap=True)

    def error(self, message: str, hint: str = "") -> None:
        """Say what went wrong, and what to do."""
        self._say("error: ", "bold red", message)
        if hint:
            self._say("  hint: ", "dim", hint)

    def warn(self, message: str) -> None:
        """Say what one should know, though it went on."""
        if not self.quiet:
            self._say("warning: ", "yellow", message)

    def note(self, message: str) -> None:
        """Say something useful."""
        if not self.quiet:
            self._say("", "", message)

    def detail(self, message: str) -> None:
        """Say something that only ``-v`` asks for; it may have several lines."""
        if self.verbose:
            for line in message.splitlines():
                self._say("", "dim", line)

    def data(self, line: str) -> None:
        """Print one line of data to stdout."""
        if self._bar_is_shown and stdout_is_terminal():
            self._say("", "", line)  # the same terminal; rich prints it above the bar
            return
        if self.lost_output:
            return
        try:
            # Names that are no valid Unicode come out as the bytes that they are.
            write_stdout(line.encode("utf-8", "surrogateescape") + b"\n")
        except OutputError as error:
            # The pictures are worth more than the list of their names: the work goes on.
            self.lost_output = True
            if not isinstance(error.__cause__, BrokenPipeError):  # the reader had enough
                self.warn(error.message)

    def json(self, value: object) -> None:
        """Print one line of JSON to stdout."""
        self.data(json.dumps(value))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table to stdout: it is what was asked for."""
        from rich.console import Console as RichConsole
        from rich.table import Column, Table
        from rich.text import Text

        heads = [Column(Text(title)) for title in columns]  # a text is not read as markup
        table = Table(*heads, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        # A pipe has no width; nothing is to be cut off.
        out = RichConsole(highlight=False, width=None if stdout_is_terminal() else 10_000)
        with out.capture() as captured:
            out.print(table)
        for line in captured.get().splitlines():
            self.data(line.rstrip())

    @contextmanager
    def progress(
        self, total: int | None, unit: str, description: str = ""
    ) -> Iterator[Ticker | Bar]:
        """Show a bar with rate and remaining time while the block runs, on a terminal.

        Parameters
        ----------
        total : int or None
            How many there are, if that is known; for a single one no bar is shown.
        unit : str
            What is counted, in the plural.
        description : str
            What is going on.
        """
        if self.quiet or total in (0, 1) or not self._stderr.is_terminal:
            yield Ticker()
            return
        from recolor_cli.terminal.progress_bar import Bar

        self._bar_is_shown = True
        try:
            with Bar(self._stderr, total, unit, description) as bar:
                yield bar
        finally:
            self._bar_is_shown = False

    def _say(self, label: str, style: str, message: str) -> None:
        # Escapes in a file's name must not reach the terminal, nor bytes that are no text.
        printable = "".join(c if c.isprintable() else "\ufffd" for c in message)
        from rich.text import Text

        self._stderr.print(
            Text.assemble((label, style), printable if label else (printable, style))
        )
