"""The answers to all requests of the page, without HTTP."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from recolor_cli.errors import RecolorError, UsageError
from recolor_cli.guidance.hints import Hints
from recolor_cli.guidance.palette_bank import DESCRIPTIONS, main_colors, named_palette
from recolor_cli.image.compare import make_thumbnail
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.serve.settings import ServeSettings
from recolor_cli.serve.studio.choices import choices_values, read_choices
from recolor_cli.serve.studio.guides import Guides
from recolor_cli.serve.studio.opened import OpenPicture, read_picture
from recolor_cli.serve.studio.own_process import OwnProcess
from recolor_cli.serve.studio.results import Recipe, Results
from recolor_cli.serve.studio.shelf import Shelf, ShelfPicture
from recolor_cli.serve.studio.wishes import PaletteWish, Wishes
from recolor_cli.system.files import file_version, read
from recolor_cli.system.texts import as_text

_MAX_OPEN = 3  # pictures that are kept open
_MAX_THUMBNAILS = 2000


class ExistsError(UsageError):
    """There is a result already, and the page did not say that it may be replaced."""


@dataclass(frozen=True, slots=True)
class Saved:
    """The outcome of a save or of a request for a command.

    Parameters
    ----------
    command : str
    files : tuple of Path
        Beside the result.
    warnings : tuple of str
    """

    command: str
    files: tuple[Path, ...]
    warnings: tuple[str, ...] = ()


class Studio:
    """The pictures, the network and the open pictures of a server."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        room = Path(tempfile.mkdtemp(prefix="recolor-"))
        # Also when the program ends, however it is used.
        self._finalizer = weakref.finalize(self, shutil.rmtree, room, ignore_errors=True)
        for name in ("dropped", "guides"):
            (room / name).mkdir()
        self.shelf = Shelf(settings.inputs, room / "dropped")
        # Two, so that thumbnails need not wait until a large picture is saved.
        self._reader, self._writer = (OwnProcess(settings.limits.seconds) for _ in range(2))
        pixels = settings.limits.pixels
        self.guides = Guides(
            room / "guides", lambda key: self.shelf.picture(key).source, self._reader, pixels
        )
        self._opened: OrderedDict[tuple[str, str], OpenPicture] = OrderedDict()
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._looking = threading.Lock()  # one thumbnail at a time leaves a core for previews
        self._thumbnail = lru_cache(_MAX_THUMBNAILS)(
            lambda path, version: self._reader.call(_read_thumbnail, path, version, pixels)
        )

    @cached_property
    def network(self) -> OnnxColorNetwork:
        """The network, which is loaded when the first picture is opened."""
        network = OnnxColorNetwork.load(self._settings.model, self._settings.device)
        network.require_distribution()
        return network

    @cached_property
    def _results(self) -> Results:
        settings = self._settings
        return Results(settings.model, settings.device, self.guides, self._writer)

    def about(self) -> dict[str, Any]:
        """Return what the page shows of the server itself."""
        names = [Path(os.path.abspath(name)).name or name for name in self._settings.inputs]
        palettes = [
            {"name": name, "about": text, "colors": main_colors(named_palette(name))}
            for name, text in DESCRIPTIONS.items()
        ]
        return {
            "folder": as_text(names[0]) if len(names) == 1 else "",
            "palettes": palettes,
            "max_bytes": self._settings.limits.body,
        }

    def listing(self) -> list[dict[str, Any]]:
        """Return all pictures as the page lists them."""
        return [_listed(picture) for picture in self.shelf.pictures()]

    def thumbnail(self, key: str, of_result: bool) -> bytes:
        """Return a small JPEG of a picture, or of its result."""
        picture = self.shelf.picture(key)
        path = picture.destination if of_result and picture.is_done else picture.source
        with self._looking:
            return self._thumbnail(str(path), file_version(path))

    def open(self, key: str) -> tuple[ShelfPicture, OpenPicture]:
        """Return a picture, opened; RecolorError if it cannot be read or recolored."""
        picture = self.shelf.picture(key)
        known = key, file_version(picture.source)
        opened = self._find_open(known)
        if opened is None:
            with self._opening:
                opened = self._find_open(known)
                if opened is None:
                    pixels = self._settings.limits.pixels
                    found = self._reader.call(read_picture, picture.source, pixels)
                    opened = OpenPicture(found, Recolorizer(self.network))
                    with self._lock:
                        self._opened[known] = opened
                        if len(self._opened) > _MAX_OPEN:
                            self._opened.popitem(last=False)
        return picture, opened

    def describe(self, key: str) -> dict[str, Any]:
        """Open a picture and return what the page shows of it."""
        picture, opened = self.open(key)
        small = opened.small.shape
        return (
            _listed(picture)
            | {
                "width": opened.size.width,
                "height": opened.size.height,
                "preview": {"width": small[1], "height": small[0]},
                "temperature": opened.temperature,
                "damage": opened.damage,
            }
            | self._saved_choices(picture, opened)
        )

    def _saved_choices(self, picture: ShelfPicture, opened: OpenPicture) -> dict[str, Any]:
        """Return the choices that were saved for a picture, or why they cannot be used."""
        try:
            saved = read_choices(picture, opened.digest, self.shelf, self.guides)
            if saved is None:
                return {}
            self.guides.options(saved)
            Hints(saved.hints).check_fit(opened.size)
        except RecolorError as error:
            return {"choices_error": f"the saved choices are not used: {error.message}"}
        values = choices_values(saved)
        if saved.palette:
            values["palette"] |= {
                "label": self._palette_label(saved.palette),
                "colors": self.palette_colors(saved.palette),
            }
        return {"choices": values}

    def _palette_label(self, wish: PaletteWish) -> str:
        if wish.kind == "picture":
            return as_text(self.shelf.picture(wish.text).source.name)
        return "Of a file" if wish.kind == "file" else wish.text

    def preview(self, key: str, wishes: Wishes, draft: bool = False) -> bytes:
        """Return the recolored picture, in the size of the preview, as JPEG."""
        _, opened = self.open(key)
        return opened.preview(wishes, self.guides.options(wishes), draft)

    def detail(self, key: str, wishes: Wishes, box: tuple[float, ...], side: int) -> bytes:
        """Return a part of the picture, before above after, as JPEG."""
        _, opened = self.open(key)
        return opened.detail(wishes, self.guides.options(wishes), box, side)

    def variants(self, key: str, wishes: Wishes) -> bytes:
        """Return small variants side by side as JPEG."""
        _, opened = self.open(key)
        return opened.variants(self.guides.options(wishes))

    def suggestions(self, key: str, x: float, y: float) -> dict[str, Any]:
        """Return L* of a pixel, and the colors that the network thinks likely there."""
        _, opened = self.open(key)
        lightness, found = opened.suggestions(x, y)
        return {"lightness": round(lightness, 1), "colors": [asdict(color) for color in found]}

    def palette_colors(self, wish: PaletteWish) -> list[str]:
        """Return the main colors of a palette; UsageError if it cannot be read."""
        return main_colors(self.guides.palette(wish))

    def save(self, key: str, wishes: Wishes, replace: bool) -> Saved:
        """Write the full result.

        Raises
        ------
        ExistsError
            If there is one, and it is not to be replaced.
        RecolorError
            If it cannot be made.
        """
        picture = self.shelf.picture(key)
        if picture.is_done and not (replace or picture.is_dropped):
            raise ExistsError(
                f"{as_text(picture.destination.name)} exists already", "replace it, or move it"
            )
        recipe = self._recipe(key, wishes)
        outcome = self._results.save(picture, recipe)
        if outcome.error:
            raise outcome.error
        return self._saved(picture, recipe, outcome.warnings)

    def command(self, key: str, wishes: Wishes) -> Saved:
        """Return the command that makes the result, and write the files that it names."""
        recipe = self._recipe(key, wishes)
        recipe.write_files()
        return self._saved(self.shelf.picture(key), recipe, ())

    def beside(self, key: str, name: str) -> Path:
        """Return the path of a dropped picture's result, or of a file that its command names."""
        picture = self.shelf.picture(key)
        path = self.shelf.beside(picture, name) if picture.is_dropped else None
        if path is None or not path.name.startswith(picture.destination.stem):
            raise UsageError(f"there is no {name} to download", "save the picture again")
        return path

    def stop(self) -> None:
        """Let the processes finish what they do, and begin nothing more."""
        self._reader.stop()
        self._writer.stop()

    def close(self) -> None:
        """Remove what was sent, and end the processes, whatever they do."""
        self._reader.close()
        self._writer.close()
        self._finalizer()

    def _recipe(self, key: str, wishes: Wishes) -> Recipe:
        picture, opened = self.open(key)
        # Fails before a file is written.
        self.guides.options(wishes)
        return self._results.recipe(picture, opened, wishes)

    def _saved(self, picture: ShelfPicture, recipe: Recipe, warnings: tuple[str, ...]) -> Saved:
        command = self._results.command(picture, recipe)
        return Saved(command, tuple(path for path, _ in recipe.files), warnings)

    def _find_open(self, known: tuple[str, str]) -> OpenPicture | None:
        with self._lock:
            opened = self._opened.get(known)
            if opened is not None:
                self._opened.move_to_end(known)
            return opened


def _listed(picture: ShelfPicture) -> dict[str, Any]:
    is_done = picture.is_done
    shown = picture.destination if is_done else picture.source
    return {
        "key": picture.key,
        "name": as_text(picture.source.name),
        "result": as_text(picture.destination.name),
        "done": is_done,
        "dropped": picture.is_dropped,
        "version": file_version(shown),
    }


def _read_thumbnail(path: str, version: str, max_pixels: int) -> bytes:
    return make_thumbnail(read(Path(path)).data, max_pixels)[0]
