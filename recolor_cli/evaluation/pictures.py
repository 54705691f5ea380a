"""Read color pictures from folders and tar files, to train and to measure on."""

from __future__ import annotations

import glob
import io
import math
import os
import stat
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from recolor_cli.batch.exclusion import is_machine_made
from recolor_cli.errors import InputError, NoInputsError
from recolor_cli.image.decode import decode
from recolor_cli.image.formats import ImageFormat
from recolor_cli.recolorizer import MIN_SIDE
from recolor_cli.system.files import read
from recolor_cli.types import RgbImage


@dataclass(frozen=True, slots=True)
class FileSpan:
    """A part of a file: a picture's place in an uncompressed tar file, or a whole file."""

    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """Read the part; raise OSError if that fails."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture, with its name for messages.

    Its bytes are read from the file each time that they are needed, because hundreds of thousands
    of pictures do not fit into memory.

    Parameters
    ----------
    name : str
        For messages: the path of the file, or those of a tar file and of its member.
    source : FileSpan or bytes
    within : str
        The path within the folder or tar file that was searched, with slashes.
    """

    name: str
    source: FileSpan | bytes
    within: str = ""

    @property
    def data(self) -> bytes:
        """The encoded picture.

        Raises
        ------
        InputError
            If its file cannot be read. The message begins with the picture's name.
        """
        if isinstance(self.source, bytes):
            return self.source
        try:
            return self.source.read()
        except OSError as error:
            raise InputError(
                f"{self.name}: cannot be read: {error.strerror}", "check that its file is there"
            ) from error

    def is_one_of(self, parts: Sequence[str]) -> bool:
        """Return whether the name, with all folders, contains one of `parts`."""
        return any(part in self.name for part in parts)

    def rgb(self, keep_damaged: bool = False) -> RgbImage:
        """Decode the picture: uint8 (H, W, 3), sRGB.

        Parameters
        ----------
        keep_damaged : bool
            Decode what is left of a damaged picture, instead of refusing it.

        Raises
        ------
        InputError
            If it cannot be read or decoded. The message begins with its name.
        """
        data = self.data
        try:
            return decode(data, keep_damaged).rgb
        except InputError as error:
            raise InputError(f"{self.name}: {error.message}", error.hint) from error


def load_pictures(sources: Sequence[str]) -> list[Picture]:
    """Find all pictures of some folders and tar files, without reading them.

    Parameters
    ----------
    sources : sequence of str
        Folders, which are searched in depth, tar files, or globs of them.

    Returns
    -------
    list of Picture
        In the order of `sources`; within a folder by path, within a tar file as it has them. A
        file that several sources hold is there once.

    Raises
    ------
    NoInputsError
        If a source matches nothing, or has no picture.
    InputError
        If a file or a folder cannot be read, or a tar file is broken.
    """
    pictures: dict[tuple[Path, int], Picture] = {}
    for source in sources:
        path = Path(source).expanduser()
        # A name may have the characters of a glob, too.
        matches = [path] if os.path.exists(path) else sorted(map(Path, glob.glob(str(path))))
        if not matches:
            raise NoInputsError(
                f"no pictures at {source}: no such file or folder", "check the name"
            )
        for match in matches:
            is_folder = os.path.isdir(match)
            found = _find_in_folder(match) if is_folder else _find_in_tar(match)
            if not found:
                raise NoInputsError(
                    f"no pictures in {match}", "it needs JPEG, PNG, WebP or TIFF files"
                )
            root = Path(os.path.realpath(match))
            for number, picture in enumerate(found):
                # Members of a tar file may have one name.
                key = (root / picture.within, 0) if is_folder else (root, number)
                pictures.setdefault(key, picture)
    return list(pictures.values())


def _find_in_folder(folder: Path) -> list[Picture]:
    paths = []
    for place, folders, names in os.walk(folder, onerror=_refuse_folder):
        folders[:] = filter(_is_visible, folders)
        paths += [Path(place, name) for name in names if _is_picture(Path(name))]
    # Sorted as paths, not as texts: the order of a training's samples depends on it.
    return [
        Picture(str(path), _whole_file(path), path.relative_to(folder).as_posix())
        for path in sorted(paths)
    ]


def _refuse_folder(error: OSError) -> None:
    raise InputError(
        f"{error.filename}: cannot be read: {error.strerror}",
        "change its permissions, or leave it out",
    ) from error


def _whole_file(path: Path) -> FileSpan | bytes:
    try:
        status = path.stat()
    except OSError:
        status = None
    if status and stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK):
        return FileSpan(path, 0, status.st_size)
    try:
        return read(path).data  # a pipe, which can be read only once, or the error of such a file
    except InputError as error:
        raise InputError(f"{path}: {error.message}", error.hint) from error


def _find_in_tar(path: Path) -> list[Picture]:
    pictures = []
    try:
        with tarfile.open(path) as tar:
            is_plain = isinstance(tar.fileobj, io.BufferedReader)  # else it is being decompressed
            for member in tar:
                if not (member.isfile() and _is_picture(Path(member.name))):
                    continue
                name = f"{path}:{member.name}"
                if is_plain and not member.issparse():
                    span = FileSpan(path, member.offset_data, member.size)
                    pictures.append(Picture(name, span, member.name))
                elif file := tar.extractfile(member):
                    pictures.append(Picture(name, file.read(), member.name))
            _check_end(tar)
    except (tarfile.TarError, OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "it is no tar file, or a broken one"
        raise InputError(
            f"{path}: cannot be read: {reason}", "name a folder or a tar file"
        ) from error
    return pictures


def _check_end(tar: tarfile.TarFile) -> None:
    """Check that no member follows those that were read: `tarfile` ends at a broken header.

    Raises
    ------
    tarfile.ReadError
        If one does.
    """
    file = cast("IO[bytes]", tar.fileobj)
    file.seek(tar.offset)
    if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError("a broken header")


def _is_picture(path: Path) -> bool:
    """Tell by its path whether a file is a picture; thumbnails do not count, as in `recolor`."""
    return all(map(_is_visible, path.parts)) and ImageFormat.of_suffix(path.suffix) is not None


def _is_visible(name: str) -> bool:
    """Tell whether a file or a folder is neither hidden nor made by a machine."""
    return (not name.startswith(".") or name == "..") and not is_machine_made(name)


def spread(pictures: Sequence[Picture], most: int) -> Sequence[Picture]:
    """Return at most so many pictures, evenly spread over all; there must be some."""
    return pictures[:: math.ceil(len(pictures) / most)]


def usable(pictures: Sequence[Picture]) -> list[Picture]:
    """Return the pictures that are large enough to be recolored.

    Raises
    ------
    InputError
        If a picture cannot be decoded. The message begins with its name.
    NoInputsError
        If all are too small.
    """
    kept = [picture for picture in pictures if min(picture.rgb().shape[:2]) >= MIN_SIDE]
    if pictures and not kept:
        raise NoInputsError("all pictures to measure on are too small", "name others")
    return kept
