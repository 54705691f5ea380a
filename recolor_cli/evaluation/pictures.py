"""Read color pictures from folders and tar files, to train and to measure on."""

from __future__ import annotations

import glob
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recolor_cli.errors import InputError, NoInputsError
from recolor_cli.image.decode import decode
from recolor_cli.image.formats import ImageFormat
from recolor_cli.recolorizer import MIN_SIDE
from recolor_cli.system.files import read
from recolor_cli.types import RgbImage


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture, with its name for messages."""

    name: str
    data: bytes

    def is_one_of(self, parts: Sequence[str]) -> bool:
        """Return whether the name contains one of `parts`."""
        return any(part in self.name for part in parts)

    def rgb(self) -> RgbImage:
        """Decode the picture: uint8 (H, W, 3), sRGB.

        Raises
        ------
        InputError
            If it cannot be decoded. The message begins with its name.
        """
        try:
            return decode(self.data).rgb
        except InputError as error:
            raise InputError(f"{self.name}: {error.message}", error.hint) from error


def load_pictures(sources: Sequence[str]) -> list[Picture]:
    """Read all pictures of some folders and tar files without decoding them.

    Parameters
    ----------
    sources : sequence of str
        Folders, which are searched in depth, tar files, or globs of them.

    Returns
    -------
    list of Picture
        In the order of `sources`; within a folder by path, within a tar file as it has them.

    Raises
    ------
    NoInputsError
        If a source matches nothing, or has no picture.
    InputError
        If a file cannot be read, or a tar file is broken.
    """
    pictures: list[Picture] = []
    for source in sources:
        matches = sorted(glob.glob(str(Path(source).expanduser())))
        if not matches:
            raise NoInputsError(f"no pictures at {source}", "check --data and --validation")
        for match in map(Path, matches):
            found = _read_folder(match) if match.is_dir() else _read_tar(match)
            if not found:
                raise NoInputsError(
                    f"no pictures in {match}", "it needs JPEG, PNG, WebP or TIFF files"
                )
            pictures += found
    return pictures


def _read_folder(folder: Path) -> list[Picture]:
    # A folder may be called x.jpg, too; what it holds is found as that of any other.
    paths = sorted(p for p in folder.rglob("*") if _has_picture_suffix(p) and not p.is_dir())
    return [Picture(str(path), _read_file(path)) for path in paths]


def _read_file(path: Path) -> bytes:
    try:
        return read(path).data
    except InputError as error:
        raise InputError(f"{path}: {error.message}", error.hint) from error


def _read_tar(path: Path) -> list[Picture]:
    pictures = []
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() else None
                if file and _has_picture_suffix(Path(member.name)):
                    pictures.append(Picture(f"{path}:{member.name}", file.read()))
    except (tarfile.TarError, OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "it is no tar file, or a broken one"
        raise InputError(
            f"{path}: cannot be read: {reason}", "name a folder or a tar file"
        ) from error
    return pictures


def _has_picture_suffix(path: Path) -> bool:
    return ImageFormat.of_suffix(path.suffix) is not None


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
