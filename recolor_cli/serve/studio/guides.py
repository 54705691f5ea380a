"""Palettes and masks that the browser sends, and the options that wishes mean."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recolor_cli.batch.steering_files import read_mask
from recolor_cli.errors import UsageError
from recolor_cli.guidance.hints import Hints
from recolor_cli.guidance.palette_bank import DESCRIPTIONS
from recolor_cli.guidance.palette_files import load_palette
from recolor_cli.guidance.palette_matching import Palette
from recolor_cli.guidance.recolor_options import RecolorOptions, Steering
from recolor_cli.serve.studio.kept import remove_oldest
from recolor_cli.serve.studio.own_process import OwnProcess
from recolor_cli.serve.studio.wishes import PaletteWish, Wishes
from recolor_cli.system.files import file_version, write_atomic
from recolor_cli.system.named_files import LocalFiles

_MAX_KEPT = 256  # files; every stroke on a mask sends one
_KEY = re.compile(r"[0-9a-f]{18}(\.[a-z0-9]{1,5})?")


class Guides:
    """The files that guide the choice of colors.

    Parameters
    ----------
    room : Path
        A folder of the server's own, within one that holds all that is temporary.
    picture_path : callable
        Returns the path of a picture of the shelf, by its key.
    reader : OwnProcess
        Decodes the files.
    max_pixels : int
        That a picture among them may declare.
    """

    def __init__(
        self,
        room: Path,
        picture_path: Callable[[str], Path],
        reader: OwnProcess,
        max_pixels: int,
    ) -> None:
        self._room = room
        self._picture_path = picture_path
        self._kept: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()
        files = LocalFiles(max_pixels)
        # With the version of the file, if the text names one, because it may change.
        self._palette = lru_cache(32)(lambda text, version: reader.call(load_palette, text, files))
        self._mask = lru_cache(8)(lambda path: reader.call(read_mask, path, files))

    def add(self, name: str, data: bytes) -> str:
        """Keep a file that was sent, and return its key; OutputError if the disk is full."""
        ending = Path(name).suffix.lower()
        if not re.fullmatch(r"\.[a-z0-9]{1,5}", ending):
            ending = ""
        key = hashlib.blake2b(data, digest_size=9).hexdigest() + ending
        with self._lock:
            write_atomic(self._room / key, data, durable=False)
            self._kept[key] = None
            self._kept.move_to_end(key)
            remove_oldest(self._kept, self._room, _MAX_KEPT)
        return key

    def path(self, key: str) -> Path:
        """Return the path of a file that was sent; UsageError if it is gone."""
        if not _KEY.fullmatch(key) or not (self._room / key).is_file():
            raise UsageError("a file that was sent is gone", "choose it again")
        with self._lock:
            if key in self._kept:  # what is in use goes last
                self._kept.move_to_end(key)
        return self._room / key

    def palette_text(self, wish: PaletteWish) -> str:
        """Return what ``--palette`` takes for a palette."""
        if wish.kind == "file":
            return str(self.path(wish.text))
        if wish.kind == "picture":
            return str(self._picture_path(wish.text))
        if wish.kind == "name":
            if wish.text not in DESCRIPTIONS:
                raise UsageError(f"there is no palette {wish.text}", "choose another one")
            return wish.text
        # With a # at its beginning, a list is never taken for a file.
        text = ",".join(color.strip() for color in wish.text.split(","))
        if not text.startswith("#"):
            raise UsageError("the colors of a palette are written as #rrggbb", "choose them again")
        return text

    def is_temporary(self, text: str) -> bool:
        """Tell whether a text names a file that the browser sent, or a picture that was dropped."""
        return self._room.parent in Path(text).parents

    def palette(self, wish: PaletteWish) -> Palette:
        """Read a palette; UsageError if it cannot be read."""
        text = self.palette_text(wish)
        return self._palette(text, file_version(Path(text)))

    def mask(self, key: str) -> NDArray[np.uint8] | None:
        """Read a mask; None if there is none."""
        return self._mask(str(self.path(key))) if key else None

    def options(self, wishes: Wishes) -> RecolorOptions:
        """Return the options of a preview."""
        palette = None if wishes.palette is None else self.palette(wishes.palette)
        return RecolorOptions(
            temperature=wishes.temperature,
            strength=wishes.strength,
            only_gray=wishes.only_gray,
            mask=self.mask(wishes.mask),
            steering=Steering(
                palette,
                wishes.palette_strength,
                Hints(wishes.hints) if wishes.hints else None,
                pick=wishes.pick,
                seed=wishes.seed,
            ),
        )
