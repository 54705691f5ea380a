"""Write a page on which each picture stands as each model colors it, to choose one for all.

    comparison.html
    comparison-thumbnails/0c5b1e..-before.jpg, 0c5b1e..-1.jpg, 0c5b1e..-2.jpg, ...

Names of files reach the page only as JSON and as quoted URLs.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from recolor_cli.batch.sidecar_names import THUMBNAIL, thumbnail_folder, thumbnail_key
from recolor_cli.gallery.page import check_replaceable, script_json
from recolor_cli.system.files import write_atomic
from recolor_cli.system.temporary_files import remove_leftovers
from recolor_cli.system.texts import as_text

NAME = "comparison.html"
_MARK = b'<meta name="generator" content="recolor comparison">'
_BEFORE, _TRUTH = "before", "after"  # of a thumbnail's name; models have their numbers


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """A column of the page.

    Parameters
    ----------
    name : str
    note : str
        What stands below the name.
    command : str
        That recolors the whole batch with this model; empty if there is none.
    """

    name: str
    note: str = ""
    command: str = ""


@dataclass(slots=True)
class _Row:
    name: str
    folder: str
    key: str
    before: str
    truth: str = ""
    results: dict[int, dict[str, str]] = field(default_factory=dict)


class ComparisonPage:
    """Collects pictures and their results, then writes the page.

    Parameters
    ----------
    page : Path
        ``*.html``. An earlier comparison is replaced, with its thumbnails, when `write` is called.
    advice : str
        Hint of the error if another file has the name of the page: how to name another place.

    Raises
    ------
    UsageError
        If the file exists and is no comparison.
    OutputError
        If it cannot be read.
    """

    def __init__(self, page: Path, advice: str = "choose another file with -o") -> None:
        self._page = page
        # In the names of thumbnails, so that those of an earlier page stay until this one is
        # written. The next page removes what an interrupted run has left.
        self._run = secrets.token_hex(8)
        self._thumbnails = thumbnail_folder(page)
        self._rows: list[_Row] = []
        self._written: set[str] = set()
        check_replaceable(page, _MARK, advice)
        remove_leftovers(self._thumbnails)

    def add_picture(self, path: str, before: bytes, truth: bytes = b"") -> int:
        """Add a picture, the JPEG of it as it was and, if it is known, of its true color.

        Returns
        -------
        int
            Its number, for `add_result`.

        Raises
        ------
        OutputError
            If a thumbnail cannot be written.
        """
        key = thumbnail_key(f"{self._run}\0{len(self._rows)}\0{path}")
        folder = str(Path(path).parent)
        row = _Row(
            as_text(Path(path).name),
            "" if folder == "." else as_text(folder),
            key,
            self._write(key, _BEFORE, before),
            self._write(key, _TRUTH, truth) if truth else "",
        )
        self._rows.append(row)
        return len(self._rows) - 1

    def add_result(self, picture: int, model: int, result: bytes, note: str = "") -> None:
        """Add the JPEG of a picture as the model of this number, from 0, colors it.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        row = self._rows[picture]
        row.results[model] = {"image": self._write(row.key, str(model + 1), result), "note": note}

    def write(self, models: Sequence[ComparedModel], conditions: str) -> None:
        """Write the page, and remove the thumbnails of an earlier one.

        Parameters
        ----------
        models : sequence of ComparedModel
            By their numbers.
        conditions : str
            What was compared; it stands below the heading.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        facts: dict[str, Any] = {
            "conditions": conditions,
            "models": [asdict(model) for model in models],
            "pictures": [
                {
                    "name": row.name,
                    "folder": row.folder,
                    "before": row.before,
                    "truth": row.truth,
                    "results": [row.results.get(number) for number in range(len(models))],
                }
                for row in self._rows
            ],
        }
        template = resources.files("recolor_cli.gallery").joinpath("comparison.html").read_bytes()
        write_atomic(self._page, template.replace(b"@FACTS@", script_json(facts)))
        with contextlib.suppress(OSError):
            for path in list(self._thumbnails.iterdir()):
                if THUMBNAIL.fullmatch(path.name) and path.name not in self._written:
                    path.unlink()

    def _write(self, key: str, kind: str, jpeg: bytes) -> str:
        """Write a thumbnail and return its URL."""
        path = self._thumbnails / f"{key}-{kind}.jpg"
        write_atomic(path, jpeg, durable=False)
        self._written.add(path.name)
        return quote(os.fsencode(f"{self._thumbnails.name}/{path.name}"), safe="/")
