"""What a run lets one look at: the gallery's page, and previews in the terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recolor_cli.commands.report import version_of
from recolor_cli.errors import OutputError

if TYPE_CHECKING:
    from recolor_cli.batch.outcome import Outcome
    from recolor_cli.gallery.page import Gallery
    from recolor_cli.terminal.console import Console
    from recolor_cli.terminal.inline_images import Protocol


class ResultViewer:
    """Puts outcomes on the page and on the screen.

    Parameters
    ----------
    console : Console
    gallery : Gallery or None
    protocol : Protocol or None
        How the terminal shows pictures.
    """

    def __init__(
        self, console: Console, gallery: Gallery | None, protocol: Protocol | None
    ) -> None:
        self._console = console
        self._gallery = gallery
        self._protocol = protocol
        self._started = time.monotonic()
        self.is_whole = True  # the page: nothing is missing from it

    def add(self, outcome: Outcome, model: str) -> None:
        """Show what became of a picture; what is none is told elsewhere."""
        from recolor_cli.batch.outcome import Status

        if outcome.status is Status.LEFT_OUT:
            return
        if self._protocol and outcome.thumbnails:
            from recolor_cli.image.compare import thumbnail_pair
            from recolor_cli.terminal.inline_images import drawn

            self._console.picture(drawn(thumbnail_pair(outcome.thumbnails), self._protocol))
        if self._gallery and self.is_whole:
            try:
                self._gallery.add(_entry(outcome, model), outcome.thumbnails)
            except OutputError as error:  # the pictures are worth more than their page
                self.is_whole = False
                self._console.error(f"the gallery ends here: {error.message}", error.hint)

    def finish(self, **run: Any) -> None:
        """Say what is true of the whole run."""
        if self._gallery:
            self._gallery.finish(
                seconds=time.monotonic() - self._started,
                version=version_of("recolor-cli"),
                date=datetime.now().strftime("%Y-%m-%d %H:%M"),
                **run,
            )


@contextlib.contextmanager
def result_viewer(console: Console, page: Path | None, show: bool) -> Iterator[ResultViewer]:
    """Begin the page and find out what the terminal can do; at the end the page is there.

    Parameters
    ----------
    console : Console
    page : Path or None
        Where the gallery goes.
    show : bool
        Whether pictures are to be shown in the terminal.
    """
    protocol = _protocol(console) if show else None
    with contextlib.ExitStack() as stack:
        gallery = None
        if page:
            from recolor_cli.gallery.page import Gallery

            gallery = stack.enter_context(Gallery(page))
        yield ResultViewer(console, gallery, protocol)
    if page:
        console.note(f"gallery: {page}")


def page_of(out: str | None) -> Path:
    """Return where the gallery goes: the folder of ``-o``, or this one."""
    from recolor_cli.batch.plan import STREAM
    from recolor_cli.gallery.page import NAME
    from recolor_cli.image.formats import ImageFormat

    if out is None or out == STREAM:
        return Path(NAME)
    is_file = not os.path.isdir(out) and ImageFormat.of_suffix(Path(out).suffix)
    return (Path(out).parent if is_file else Path(out)) / NAME


def _protocol(console: Console) -> Protocol | None:
    """Find out how the terminal behind standard error shows pictures, or say that it does not."""
    from recolor_cli.terminal.inline_images import protocol_of

    if not (sys.stderr and not sys.stderr.closed and sys.stderr.isatty()):
        console.note("--show: standard error is no terminal, so nothing is shown")
        return None
    with contextlib.ExitStack() as stack:
        try:
            terminal = stack.enter_context(Path("/dev/tty").open("r+b", buffering=0)).fileno()
        except OSError:  # Windows, or no terminal that controls this process
            terminal = None
        protocol = protocol_of(os.environ, terminal)
    if protocol is None:
        console.note("--show: this terminal shows no pictures (kitty, iTerm2 and sixel ones do)")
    return protocol


def _entry(outcome: Outcome, model: str) -> Any:
    from recolor_cli.batch.outcome import Status
    from recolor_cli.gallery.page import Entry

    job, error = outcome.job, outcome.error
    return Entry(
        source=job.source,
        destination=job.destination,
        status=outcome.status,
        reason=outcome.reason,
        error=error.message if error else "",
        hint=error.hint if error else "",
        size=outcome.size,
        model=model if outcome.status is Status.WRITTEN else "",
        seconds=sum(outcome.seconds.values()),
        warnings=outcome.warnings,
        before=job.backup,
    )
