"""Color pictures to train and to measure on: folders and tar files of them."""

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
from recolor_cli.types import RgbImage


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture and its name, for messages."""

    name: str
    data: bytes

    def is_one_of(self, parts: Sequence[str]) -> bool:
        """Whether its name contains one of `parts`."""
        return any(part in self.name for part in parts)

    def rgb(self) -> RgbImage:
        """Decode it: uint8 (H, W, 3).

        Raises
        ------
        InputError
            If that cannot be done; the picture is named.
        """
        try:
            return decode(self.data).rgb
        except InputError as error:
            raise InputError(f"{self.name}: {error.message}", error.hint) from error


def load_pictures(sources: Sequence[str]) -> list[Picture]:
    """Read all pictures of some folders and tar files, still encoded, in a fixed order.

    Parameters
    ----------
    sources : sequence of str
        Folders (searched in depth), tar files, or globs of them.

    Raises
    ------
    NoInputsError
        If a source matches nothing, or holds no picture.
    InputError
        If a tar file is broken.
    """
    pictures: list[Picture] = []
    for source in sources:
        matches = sorted(glob.glob(str(Path(source).expanduser())))
        if not matches:
            raise NoInputsError(f"no pictures at {source}", "check --data and --validation")
        for match in map(Path, matches):
            found = _from_folder(match) if match.is_dir() else _from_tar(match)
            if not found:
                raise NoInputsError(
                    f"no pictures in {match}", "it needs JPEG, PNG, WebP or TIFF files"
                )
            pictures += found
    return pictures


def _from_folder(folder: Path) -> list[Picture]:
    paths = sorted(path for path in folder.rglob("*") if ImageFormat.of_suffix(path.suffix))
    return [Picture(str(path), path.read_bytes()) for path in paths]


def _from_tar(path: Path) -> list[Picture]:
    pictures = []
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() else None
                if file and ImageFormat.of_suffix(Path(member.name).suffix):
                    pictures.append(Picture(f"{path}:{member.name}", file.read()))
    except (tarfile.TarError, OSError) as error:
        raise InputError(
            f"{path} is no tar file of pictures: {error}", "name a folder or a tar file"
        ) from error
    return pictures


def usable(pictures: Sequence[Picture]) -> list[Picture]:
    """Leave out what is too small to be recolored.

    Raises
    ------
    InputError
        If a picture cannot be decoded; it is named.
    NoInputsError
        If all are too small.
    """
    kept = [picture for picture in pictures if min(picture.rgb().shape[:2]) >= MIN_SIDE]
    if pictures and not kept:
        raise NoInputsError("all pictures to measure on are too small", "name others")
    return kept
