"""The pictures that the page shows: those of the folders, and those that were dropped on it."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from recolor_cli.batch.destination import DEFAULT_SUFFIX, job_of
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.plan import plan
from recolor_cli.errors import InputError, NoInputsError, OutputError
from recolor_cli.image.formats import ImageFormat
from recolor_cli.serve.studio.kept import remove_oldest
from recolor_cli.system.files import write_atomic

_MAX_DROPPED = 64  # pictures that were dropped and are kept
_MAX_NAME = 120  # bytes of a dropped picture's name
_KEY_SIZE = 9  # bytes


@dataclass(frozen=True, slots=True)
class ShelfPicture:
    """One picture.

    Parameters
    ----------
    key : str
        Names it in addresses.
    source, destination : Path
        Its file, and that of its result.
    is_dropped : bool
        Whether it was sent by the browser; its files are the server's own, and are removed.
    """

    key: str
    source: Path
    destination: Path
    is_dropped: bool = False

    @property
    def is_done(self) -> bool:
        """Whether there is a result."""
        try:
            status = self.destination.stat()
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size > 0


class Shelf:
    """All pictures of a server.

    Parameters
    ----------
    inputs : tuple of str
        Folders and pictures.
    room : Path
        A folder of the server's own, for pictures that are dropped.
    """

    def __init__(self, inputs: tuple[str, ...], room: Path) -> None:
        # Absolute, so that the copied command works in any folder.
        self._inputs = [os.path.abspath(name) for name in inputs]
        self._places = [Path(os.path.realpath(name)) for name in inputs]
        self._room = room
        self._dropped: OrderedDict[str, ShelfPicture] = OrderedDict()
        self._found: dict[str, ShelfPicture] = {}
        self._lock = threading.Lock()

    def pictures(self) -> list[ShelfPicture]:
        """Look into the folders; dropped pictures come first, the last one before the others."""
        found = []
        if self._inputs:
            try:
                jobs = plan(self._inputs, False, OutputOptions())
            except NoInputsError:
                jobs = []
            for job in jobs:
                if job.error is None and self._is_inside(job.source):
                    key = picture_key(job.source)
                    found.append(ShelfPicture(key, Path(job.source), Path(job.destination)))
        with self._lock:
            self._found = {picture.key: picture for picture in found}
            return [*reversed(self._dropped.values()), *found]

    def picture(self, key: str) -> ShelfPicture:
        """Return the picture of a key.

        Raises
        ------
        InputError
            If there is none any more.
        """
        with self._lock:
            found = self._dropped.get(key) or self._found.get(key)
        if found is None:
            found = {picture.key: picture for picture in self.pictures()}.get(key)
        if found is None:
            raise InputError("there is no such picture any more", "choose another one")
        return found

    def add(self, name: str, data: bytes) -> ShelfPicture:
        """Keep a picture that was dropped.

        Raises
        ------
        InputError
            If its first bytes are of no picture that can be read.
        OutputError
            If the disk is full.
        """
        image_format = ImageFormat.of_data(data[:64])
        if image_format is None:
            raise InputError(
                f"{name} is no picture that can be read",
                "JPEG, PNG, TIFF and WebP are, for example",
            )
        name = _safe_name(name)
        if ImageFormat.of_suffix(Path(name).suffix) is None:
            name += image_format.suffix
        key = hashlib.blake2b(data + name.encode(), digest_size=_KEY_SIZE).hexdigest()
        source = self._room / key / name
        try:
            write_atomic(source, data, durable=False)
        except OutputError:
            with suppress(OSError):  # it is not empty if the picture was dropped before
                source.parent.rmdir()
            raise
        job = job_of(str(source), name, OutputOptions(), DEFAULT_SUFFIX)
        picture = ShelfPicture(key, source, Path(job.destination), is_dropped=True)
        with self._lock:
            self._dropped.pop(key, None)
            self._dropped[key] = picture
            remove_oldest(self._dropped, self._room, _MAX_DROPPED)
        return picture

    def beside(self, picture: ShelfPicture, name: str) -> Path | None:
        """Return the path of a file beside a picture's result; None if there is none.

        A link that leads out of the folders does not count. Of a picture that was named itself,
        only the files of its own result do.
        """
        path = picture.destination.with_name(Path(name).name)
        if not path.is_file():
            return None
        is_of_result = path.name.startswith(f"{picture.destination.name}-")
        is_own = picture.is_dropped or (is_of_result and not path.is_symlink())
        return path if is_own or self._is_inside(str(path)) else None

    def _is_inside(self, source: str) -> bool:
        """Tell whether a file lies in a folder that was named, and no link leads out of it."""
        path = Path(os.path.realpath(source))
        return any(path == place or place in path.parents for place in self._places)


def picture_key(path: str) -> str:
    """Return the key of a picture of a folder by its absolute path."""
    return hashlib.blake2b(os.fsencode(path), digest_size=_KEY_SIZE).hexdigest()


def _safe_name(name: str) -> str:
    """Return the last part of a name, without what files cannot be called."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(char for char in last if char.isprintable()).strip(" .")
    stem, dot, ending = kept.rpartition(".") if "." in kept else (kept, "", "")
    stem = stem.encode("utf-8", "replace")[:_MAX_NAME].decode("utf-8", "ignore")
    return f"{stem}{dot}{ending[:8]}" if stem else f"picture{dot}{ending[:8]}"
