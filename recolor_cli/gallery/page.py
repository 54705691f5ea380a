"""Write the page of a run, and the folder of its thumbnails.

    gallery.html
    gallery-thumbnails/0c5b1e..-before.jpg, 0c5b1e..-after.jpg, ...

Both work from the disk, without a server. The page is written under a temporary name while the
pictures come, so that memory does not grow with them, and gets its name at the end of the run.
Names of files reach the page only as JSON and as quoted URLs.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from recolor_cli.batch.job import STREAM, Job
from recolor_cli.batch.outcome import Outcome, Status
from recolor_cli.batch.sidecar_names import THUMBNAIL, thumbnail_folder, thumbnail_key
from recolor_cli.errors import OutputError, UsageError
from recolor_cli.image.compare import Thumbnails
from recolor_cli.system.files import write_atomic, writing
from recolor_cli.system.temporary_files import remove_leftovers
from recolor_cli.system.texts import as_text

NAME = "gallery.html"
_MARK = b'<meta name="generator" content="recolor gallery">'
# Formats that browsers can show. For other files, the large view shows the thumbnail.
_SHOWN_BY_BROWSERS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".webp", ".avif"}


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Facts about the whole run, which the page shows."""

    seconds: float
    version: str
    date: str
    model: str
    device: str
    interrupted: bool


def check_replaceable(page: Path, mark: bytes, advice: str) -> None:
    """Check that no page exists, or one of the same kind, which may be replaced.

    Parameters
    ----------
    page : Path
    mark : bytes
        The tag in the page's head that names its kind.
    advice : str
        How to name another page; it ends the hint of the error.

    Raises
    ------
    UsageError
        If the file exists and is another page.
    OutputError
        If it cannot be read.
    """
    try:
        head = page.read_bytes()[:1000]
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"cannot write {page}: {error.strerror}", advice) from error
    if mark not in head:
        raise UsageError(f"{page} exists and is another page", f"move it, or {advice}")


class Gallery:
    """Writes a page; a context manager that puts the page in place when its block ends.

    Parameters
    ----------
    page : Path
        ``*.html``. An earlier gallery is replaced, with its thumbnails.

    Raises
    ------
    UsageError
        If the file exists and is no gallery.
    OutputError
        If its folder cannot be written to.
    """

    def __init__(self, page: Path) -> None:
        self._page = page
        # Resolved, so that relative URLs are right when the folder is reached through a link.
        self._folder = Path(os.path.realpath(page.parent))
        self._thumbnails = self._folder / thumbnail_folder(page).name
        self._used_keys: set[bytes] = set()  # of thumbnails, 8 bytes a picture
        self._stack = contextlib.ExitStack()
        self._facts: dict[str, Any] = {}
        check_replaceable(page, _MARK, "choose another folder with -o")
        template = resources.files("recolor_cli.gallery").joinpath("page.html").read_bytes()
        self._head, rest = template.split(b"@ENTRIES@\n")
        self._middle, self._tail = rest.split(b"@RUN@")

    def __enter__(self) -> Self:
        """Begin the page under a temporary name, after removing what a killed run has left."""
        remove_leftovers(self._thumbnails)
        self._file = self._stack.enter_context(writing(self._page))
        self._file.write(self._head)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the page; after an error, remove it."""
        if kind is not None:
            # The file must see an exception to be removed, but not one of another origin.
            with contextlib.suppress(_Abandoned):
                self._stack.__exit__(_Abandoned, _Abandoned(), None)
            return
        with self._stack:
            self._file.write(self._middle + script_json(self._facts) + self._tail)
        self._remove_unused_thumbnails()

    def add(self, outcome: Outcome, model: str) -> None:
        """Add one picture to the page.

        Parameters
        ----------
        outcome : Outcome
        model : str
            The model of the run. The page names it where there is a new result.

        Raises
        ------
        OutputError
            If the page or a thumbnail cannot be written.
        """
        job, error = outcome.job, outcome.error
        path = Path(job.source if job.source != STREAM else job.destination)
        folder = str(path.parent)
        line: dict[str, Any] = {
            "name": "standard input" if path.name in (STREAM, "") else as_text(path.name),
            "folder": "" if folder == "." else as_text(folder),
            "status": outcome.status,
            "reason": outcome.reason,
            "error": error.message if error else "",
            "hint": error.hint if error else "",
            "model": model if outcome.status is Status.WRITTEN else "",
            "seconds": round(sum(outcome.seconds.values()), 4),
            "warnings": outcome.warnings,
            "source": self._url(job.backup or job.source),
            "result": "" if outcome.status is Status.FAILED else self._url(job.destination),
        }
        if outcome.size:
            line |= {"width": outcome.size.width, "height": outcome.size.height}
        if thumbnails := outcome.thumbnails:
            line |= {"width": thumbnails.size.width, "height": thumbnails.size.height}
            line |= self._write_thumbnails(job, thumbnails)
        filled = {key: value for key, value in line.items() if value or key == "folder"}
        try:
            self._file.write(script_json(filled) + b"\n")
        except OSError as error:
            raise OutputError(
                f"cannot write {self._page}: {error.strerror}", "make room on its disk"
            ) from error

    def finish(self, facts: RunFacts) -> None:
        """Store the facts about the whole run, which the end of the page shows."""
        self._facts = asdict(facts)

    def _write_thumbnails(self, job: Job, thumbnails: Thumbnails) -> dict[str, str]:
        """Write the thumbnails of a picture, and return their URLs and those of the large view."""
        name = os.path.abspath(job.source) + "\0" + os.path.abspath(job.destination)
        key = thumbnail_key(name)
        self._used_keys.add(bytes.fromhex(key))
        urls = {}
        for kind, data, large in (
            ("before", thumbnails.before, job.backup or job.source),
            ("after", thumbnails.after, job.destination),
        ):
            path = self._thumbnails / f"{key}-{kind}.jpg"
            write_atomic(path, data, durable=False)
            urls[kind] = self._url(str(path))
            is_shown = Path(large).suffix.lower() in _SHOWN_BY_BROWSERS
            urls[f"large_{kind}"] = self._url(large) if is_shown else urls[kind]
        return urls

    def _url(self, path: str) -> str:
        """Return the URL of a file relative to the page; empty for standard input and output."""
        if path in ("", STREAM):
            return ""
        place = Path(os.path.realpath(Path(path).parent)) / Path(path).name
        try:
            relative = os.path.relpath(place, self._folder)
        except ValueError:  # on another drive
            return place.as_uri()
        # Quoted, because browsers take a name before a colon for a scheme.
        return quote(os.fsencode(relative.replace(os.sep, "/")), safe="/")

    def _remove_unused_thumbnails(self) -> None:
        with contextlib.suppress(OSError):
            for path in list(self._thumbnails.iterdir()):
                match = THUMBNAIL.fullmatch(path.name)
                if match and bytes.fromhex(match[1]) not in self._used_keys:
                    path.unlink()


class _Abandoned(Exception):
    """Raised inside the file's context to remove an unfinished page."""


def script_json(value: object) -> bytes:
    """Return JSON for an HTML script, which no ``</script>`` in a name can end."""
    return json.dumps(value).replace("<", "\\u003c").encode("ascii")
