"""Keep the choices for a picture in a file beside its result, so that they are there again."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from recolor_cli.batch.sidecar_names import STUDIO, chosen_path
from recolor_cli.errors import InputError, RecolorError
from recolor_cli.serve.studio.guides import Guides
from recolor_cli.serve.studio.shelf import Shelf, ShelfPicture, picture_key
from recolor_cli.serve.studio.wishes import Wishes
from recolor_cli.system.texts import as_text

_MAX_SIZE = 1 << 20  # bytes
_NOTHING = Wishes()


def choices_path(picture: ShelfPicture) -> Path:
    """Return the path of the file for a picture."""
    return chosen_path(picture.destination, STUDIO, ".json")


def choices_values(wishes: Wishes) -> dict[str, Any]:
    """Return the wishes as `Wishes.parse` reads them, without those that nobody made."""
    hints = tuple(asdict(hint) | {"color": f"#{bytes(hint.levels).hex()}"} for hint in wishes.hints)
    values = asdict(wishes) | {"hints": hints}
    return {name: value for name, value in values.items() if value != getattr(_NOTHING, name)}


def encode_choices(wishes: Wishes, digest: str) -> bytes:
    """Return the contents of the file.

    Parameters
    ----------
    wishes : Wishes
        With the paths of files and pictures for their keys.
    digest : str
        Of the picture's pixels.
    """
    # `--hint` reads this file, too, and needs the list also where it is empty.
    values = {"picture": digest, "hints": []} | choices_values(wishes)
    if wishes.mask:
        values["mask"] = Path(wishes.mask).name
    if wishes.palette and wishes.palette.kind == "file":
        values["palette"]["text"] = Path(wishes.palette.text).name
    return (json.dumps(values, indent=2) + "\n").encode()


def read_choices(picture: ShelfPicture, digest: str, shelf: Shelf, guides: Guides) -> Wishes | None:
    """Read the file of a picture; None if there is none.

    Raises
    ------
    RecolorError
        If it is broken, was written for other pixels, or names a file that is not there any more.
    """
    path = shelf.beside(picture, choices_path(picture).name)
    if path is None:
        return None
    try:
        if path.stat().st_size > _MAX_SIZE:
            raise ValueError("it is too large")
        values = dict(json.loads(path.read_bytes()))
        if values.pop("picture", "") != digest:
            raise ValueError("it was made for another picture")
        return _with_keys(Wishes.parse(values), picture, shelf, guides)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{as_text(path.name)}: {error}") from error
    except RecolorError as error:
        raise InputError(f"{as_text(path.name)}: {error.message}") from error


def _with_keys(wishes: Wishes, picture: ShelfPicture, shelf: Shelf, guides: Guides) -> Wishes:
    """Return wishes with keys for the names of files and the paths of pictures."""

    def send(name: str) -> str:
        path = shelf.beside(picture, name)
        if path is None:
            raise InputError(f"there is no {as_text(name)} beside it")
        return guides.add(path.name, path.read_bytes())

    mask, palette = wishes.mask, wishes.palette
    if palette and palette.kind == "file":
        palette = replace(palette, text=send(palette.text))
    elif palette and palette.kind == "picture":
        # The list tells whether there is one; a path alone opens no file.
        palette = replace(palette, text=picture_key(palette.text))
    return replace(wishes, mask=mask and send(mask), palette=palette)
