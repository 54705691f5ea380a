"""One page of a batch, and a folder of thumbnails beside it; both work from the disk.

    gallery.html
    gallery-thumbnails/0c5b1e..-before.jpg, 0c5b1e..-after.jpg, ...

The page is written as the pictures come, so that memory does not grow with them, and takes its name
when the batch is over. Names of files reach it as JSON and as escaped addresses only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from recolor_cli.batch.sidecars import THUMBNAIL, thumbnail_folder
from recolor_cli.errors import OutputError, UsageError
from recolor_cli.image.compare import Thumbnails
from recolor_cli.system.files import write_atomic, writing
from recolor_cli.types import ImageSize

NAME = "gallery.html"
_MARK = b'<meta name="generator" content="recolor gallery">'
# What browsers show; of other files the large view has the thumbnail.
_SHOWN_BY_BROWSERS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".webp", ".avif"}


@dataclass(frozen=True, slots=True)
class Entry:
    """What the page says of one picture.

    Parameters
    ----------
    source, destination : str
        Paths as they are; ``-`` or empty where there is no file.
    status : str
        ``written``, ``skipped`` or ``failed``.
    reason, error, hint : str
        Why it was skipped; why it failed, and what helps.
    size : ImageSize or None
    model : str
        Empty where none was asked.
    seconds : float
    warnings : tuple of str
    before : str
        Where the picture is now, if its own name went to the result.
    """

    source: str
    destination: str
    status: str
    reason: str = ""
    error: str = ""
    hint: str = ""
    size: ImageSize | None = None
    model: str = ""
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    before: str = ""


class Gallery:
    """Write the page while the block runs.

    Parameters
    ----------
    page : Path
        ``*.html``. An earlier page of this kind is replaced, with its thumbnails.

    Raises
    ------
    UsageError
        If the path is of something else.
    OutputError
        If its folder cannot be written to.
    """

    def __init__(self, page: Path) -> None:
        self._page = page
        # Resolved, so that the way from the page to the pictures is right through links, too.
        self._folder = Path(os.path.realpath(page.parent))
        self._thumbnails = self._folder / thumbnail_folder(page).name
        self._kept: set[bytes] = set()  # 8 bytes a picture
        self._stack = contextlib.ExitStack()
        self._run: dict[str, Any] = {}
        with contextlib.suppress(FileNotFoundError):
            try:
                is_ours = _MARK in page.read_bytes()[:1000]
            except OSError as error:
                if isinstance(error, FileNotFoundError):
                    raise
                raise OutputError(
                    f"cannot write {page}: {error.strerror}", "choose another folder with -o"
                ) from error
            if not is_ours:
                raise UsageError(f"{page} exists and is another page", "move it, or choose -o")
        template = resources.files("recolor_cli.gallery").joinpath("page.html").read_bytes()
        self._head, rest = template.split(b"@ENTRIES@\n")
        self._middle, self._tail = rest.split(b"@RUN@")

    def __enter__(self) -> Self:
        """Begin the page, under a temporary name."""
        self._file = self._stack.enter_context(writing(self._page))
        self._file.write(self._head)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the page; after an error there is none."""
        if kind is not None:
            with contextlib.suppress(_Abandoned):  # what was raised elsewhere is not of this file
                self._stack.__exit__(_Abandoned, _Abandoned(), None)
            return
        with self._stack:
            self._file.write(self._middle + _json(self._run) + self._tail)
        self._remove_what_no_page_shows()

    def add(self, entry: Entry, thumbnails: Thumbnails | None) -> None:
        """Put one picture on the page."""
        path = Path(entry.source if entry.source != "-" else entry.destination)
        folder = str(path.parent)
        line: dict[str, Any] = {
            "name": "standard input" if path.name in ("-", "") else _shown(path.name),
            "folder": "" if folder == "." else _shown(folder),
            "status": entry.status,
            "reason": entry.reason,
            "error": entry.error,
            "hint": entry.hint,
            "model": entry.model,
            "seconds": round(entry.seconds, 4),
            "warnings": entry.warnings,
            "source": self._address(entry.before or entry.source),
            "result": self._address(entry.destination) if entry.status != "failed" else "",
        }
        if entry.size:
            line |= {"width": entry.size.width, "height": entry.size.height}
        if thumbnails:
            line |= {"width": thumbnails.size.width, "height": thumbnails.size.height}
            line |= self._write(entry, thumbnails)
        said = {key: value for key, value in line.items() if value or key == "folder"}
        try:
            self._file.write(_json(said) + b"\n")
        except OSError as error:
            raise OutputError(
                f"cannot write {self._page}: {error.strerror}", "make room on its disk"
            ) from error

    def finish(
        self,
        *,
        model: str,
        device: str,
        seconds: float,
        version: str,
        date: str,
        interrupted: bool = False,
    ) -> None:
        """Set the facts about the whole run."""
        self._run = {
            "seconds": seconds,
            "version": version,
            "date": date,
            "model": model,
            "device": device,
            "interrupted": interrupted,
        }

    def _write(self, entry: Entry, thumbnails: Thumbnails) -> dict[str, str]:
        """Write the thumbnails of a picture, and return where they and the large ones are."""
        name = os.path.abspath(entry.source) + "\0" + os.path.abspath(entry.destination)
        key = hashlib.blake2b(os.fsencode(name), digest_size=8)
        self._kept.add(key.digest())
        found = {}
        for kind, data, large in (
            ("before", thumbnails.before, entry.before or entry.source),
            ("after", thumbnails.after, entry.destination),
        ):
            path = self._thumbnails / f"{key.hexdigest()}-{kind}.jpg"
            write_atomic(path, data, durable=False)
            found[kind] = self._address(str(path))
            is_shown = Path(large).suffix.lower() in _SHOWN_BY_BROWSERS
            found[f"large_{kind}"] = self._address(large) if is_shown else found[kind]
        return found

    def _address(self, path: str) -> str:
        """Return where a file is, seen from the page, as an address; empty if it is no file."""
        if path in ("", "-"):
            return ""
        place = Path(os.path.realpath(Path(path).parent)) / Path(path).name
        try:
            relative = os.path.relpath(place, self._folder)
        except ValueError:  # on another drive
            return place.as_uri()
        # A bare name with a colon would be a scheme to browsers; quoted it is none.
        return quote(os.fsencode(relative.replace(os.sep, "/")), safe="/")

    def _remove_what_no_page_shows(self) -> None:
        with contextlib.suppress(OSError):
            for path in list(self._thumbnails.iterdir()):
                match = THUMBNAIL.fullmatch(path.name)
                if match and bytes.fromhex(match[1]) not in self._kept:
                    path.unlink()


class _Abandoned(Exception):
    """The page is not to be finished."""


def _shown(name: str) -> str:
    """Return a name as text: bytes that are no UTF-8 are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def _json(value: object) -> bytes:
    """Return JSON that can stand in a script: no ``</script>`` in a name ends it."""
    return json.dumps(value).replace("<", "\\u003c").encode("ascii")
