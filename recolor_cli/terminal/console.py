"""Messages, tables and progress for the user.

Messages go to stderr. Standard output is for data: paths of written files, JSON, pictures, tables.
rich is loaded when the first message is printed, because most runs print none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from recolor_cli.errors import OutputError
from recolor_cli.terminal.streams import stdout_is_terminal, write_stdout

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.text import Text

    from recolor_cli.terminal.progress_bar import Bar

_LONGEST_MESSAGE = 1000  # characters; a file that was taken for a list may have long lines


def _printable(text: str) -> str:
    """Return a text without the escape sequences, or bytes that are no text, of names of others."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


class Swatch(NamedTuple):
    """Colors, ``#rrggbb``, in a cell of a table."""

    colors: tuple[str, ...]

    def draw(self, has_color: bool) -> Text:
        """Return blocks of the colors, or their codes where a terminal shows no color."""
        from rich.text import Text

        if not has_color:
            return Text(" ".join(self.colors))
        return Text.assemble(*(("███", color) for color in self.colors))


class Ticker:
    """Takes the place of a progress bar where none is shown."""

    is_shown = False

    def advance(self, count: int = 1) -> None:
        """Do nothing."""

    def describe(self, description: str) -> None:
        """Do nothing."""


class Console:
    """Prints messages to stderr and data to stdout.

    Parameters
    ----------
    quiet : bool
        Print errors only, and no paths.
    verbose : bool
        Print details and tracebacks, too.
    ends_in_nul : bool
        End lines of data, but for JSON, in NUL: a name may hold a newline.
    """

    def __init__(
        self, quiet: bool = False, verbose: bool = False, ends_in_nul: bool = False
    ) -> None:
        self.quiet = quiet
        self._end = "\0" if ends_in_nul else "\n"
        self.verbose = verbose
        self._bar_is_shown = False
        self.lost_output = False

    @cached_property
    def _stderr(self) -> RichConsole:
        from rich.console import Console as RichConsole

        return RichConsole(stderr=True, highlight=False, soft_wrap=True)

    def error(self, message: str, hint: str = "") -> None:
        """Print what went wrong, and the next step."""
        self._print("error: ", "bold red", message)
        if hint:
            self._print("  hint: ", "dim", hint)

    def warn(self, message: str) -> None:
        """Print a problem that did not stop the work, unless quiet."""
        if not self.quiet:
            self._print("warning: ", "yellow", message)

    def note(self, message: str) -> None:
        """Print a message, unless quiet."""
        if not self.quiet:
            self._print("", "", message)

    def detail(self, message: str) -> None:
        """Print a text of one or more lines, if verbose."""
        if self.verbose:
            for line in message.splitlines():
                self._print("", "dim", line)

    def data(self, line: str) -> None:
        """Print one line of data to stdout."""
        self._write_data(line, self._end)

    def json(self, value: object) -> None:
        """Print one line of JSON to stdout."""
        self._write_data(json.dumps(value), "\n")

    def _write_data(self, line: str, end: str) -> None:
        if self._bar_is_shown and stdout_is_terminal():
            self._show("", "", line)  # the same terminal: rich prints it above the bar
            return
        if self.lost_output:
            return
        try:
            # Names that are no valid Unicode come out as the bytes that they are.
            write_stdout((line + end).encode("utf-8", "surrogateescape"))
        except OutputError as error:
            # The work goes on: the pictures are worth more than the list of their names.
            self.lost_output = True
            if not isinstance(error.__cause__, BrokenPipeError):  # the reader wanted no more
                self.warn(error.message)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str | Swatch]]) -> None:
        """Print a table to stdout. A swatch is drawn if that is a terminal with colors."""
        from rich.console import Console as RichConsole
        from rich.table import Column, Table
        from rich.text import Text

        # Text is not read as markup. Folded, an address is whole where there is no room for it.
        heads = [Column(Text(title), overflow="fold") for title in columns]
        table = Table(*heads, box=None, pad_edge=False, header_style="bold")
        # A pipe has no width, so that nothing is cut off.
        out = RichConsole(highlight=False, width=None if stdout_is_terminal() else 10_000)
        for row in rows:
            table.add_row(
                *(
                    cell.draw(bool(out.color_system))
                    if isinstance(cell, Swatch)
                    else Text(_printable(cell))
                    for cell in row
                )
            )
        with out.capture() as captured:
            out.print(table)
        for line in captured.get().splitlines():
            self.data(line.rstrip())

    @contextmanager
    def progress(
        self, total: int | None, unit: str, description: str = ""
    ) -> Iterator[Ticker | Bar]:
        """Show a progress bar while the block runs, if stderr is a terminal.

        Parameters
        ----------
        total : int or None
            Number of items, if it is known. No bar is shown for a single one.
        unit : str
            Noun for the items, in the plural.
        description : str
            Text before the bar.
        """
        if self.quiet or total in (0, 1) or not self._stderr.is_terminal:
            yield Ticker()
            return
        from recolor_cli.terminal.progress_bar import Bar

        self._bar_is_shown = True
        try:
            bar = Bar(self._stderr, total, unit, description)
            with bar.progress:
                yield bar
        finally:
            self._bar_is_shown = False

    def _print(self, label: str, style: str, message: str) -> None:
        half = _LONGEST_MESSAGE // 2
        if len(message) > _LONGEST_MESSAGE:
            # The reason stands at one of the ends, and what is too long between them.
            message = f"{message[:half]}\N{HORIZONTAL ELLIPSIS}{message[-half:]}"
        self._show(label, style, message)

    def _show(self, label: str, style: str, message: str) -> None:
        from rich.text import Text

        printable = _printable(message)
        self._stderr.print(
            Text.assemble((label, style), printable if label else (printable, style))
        )
