"""Put the outcomes of a run on its gallery page."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from recolor_cli.batch.job import STREAM
from recolor_cli.commands.report import version_of
from recolor_cli.errors import OutputError

if TYPE_CHECKING:
    from recolor_cli.batch.outcome import Outcome
    from recolor_cli.gallery.page import Gallery
    from recolor_cli.terminal.console import Console


class GalleryWriter:
    """Puts outcomes on the gallery page, if there is one."""

    def __init__(self, console: Console, gallery: Gallery | None) -> None:
        self._console = console
        self._gallery = gallery
        self._started = time.monotonic()
        self.is_complete = True  # the page: no entry is missing from it

    def add(self, outcome: Outcome, model: str) -> None:
        """Add an outcome, unless it is of an unsupported file."""
        from recolor_cli.batch.outcome import Status

        if not self._gallery or not self.is_complete or outcome.status is Status.LEFT_OUT:
            return
        try:
            self._gallery.add(outcome, model)
        except OutputError as error:  # the pictures are worth more than their page
            self.is_complete = False
            self._console.error(f"the gallery ends here: {error.message}", error.hint)

    def finish(self, model: str, device: str, interrupted: bool) -> None:
        """Set the facts about the whole run."""
        if self._gallery:
            from recolor_cli.gallery.page import RunFacts

            self._gallery.finish(
                RunFacts(
                    seconds=time.monotonic() - self._started,
                    version=version_of("recolor-cli"),
                    date=datetime.now().strftime("%Y-%m-%d %H:%M"),
                    model=model,
                    device=device,
                    interrupted=interrupted,
                )
            )


@contextlib.contextmanager
def gallery_writer(console: Console, page: Path | None) -> Iterator[GalleryWriter]:
    """Write the gallery page, if a path is given, while the block runs."""
    if page is None:
        yield GalleryWriter(console, None)
        return
    from recolor_cli.gallery.page import Gallery

    with Gallery(page) as gallery:
        yield GalleryWriter(console, gallery)


def page_of(out: str | None) -> Path:
    """Return the path of the page: in the folder of ``-o``, or in the current one."""
    from recolor_cli.gallery.page import NAME
    from recolor_cli.image.formats import ImageFormat

    if out is None or out == STREAM:
        return Path(NAME)
    is_file = not os.path.isdir(out) and ImageFormat.of_suffix(Path(out).suffix)
    return (Path(out).parent if is_file else Path(out)) / NAME
