"""Save a picture as the command line does, and tell the command that makes the same file."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from recolor_cli.batch.job import Job
from recolor_cli.batch.outcome import Outcome
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.picture import PictureWork
from recolor_cli.batch.run_provenance import describe_colors, number_text, run_provenance
from recolor_cli.batch.sidecar_names import MASK, PALETTE, chosen_path
from recolor_cli.batch.skip_rule import MissingOutputs
from recolor_cli.batch.steering_files import read_mask, steering_of
from recolor_cli.guidance.recolor_options import DEFAULT_STRENGTH, RecolorOptions
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.serve.studio.choices import choices_path, encode_choices
from recolor_cli.serve.studio.guides import Guides
from recolor_cli.serve.studio.opened import OpenPicture
from recolor_cli.serve.studio.own_process import OwnProcess
from recolor_cli.serve.studio.shelf import ShelfPicture
from recolor_cli.serve.studio.shell_words import shell_word
from recolor_cli.serve.studio.wishes import PaletteWish, Wishes
from recolor_cli.system.files import write_atomic
from recolor_cli.system.memory import MemoryBudget, memory_for_pictures

_DEFAULT_MODEL, _DEFAULT_DEVICE = "poster", "auto"


@dataclass(frozen=True, slots=True)
class Recipe:
    """The options that make a result, as a command line has them, and the files that they name.

    Parameters
    ----------
    options : tuple of (str, str)
        Names and values in the order of the command line; a flag has an empty value.
    files : tuple of (Path, bytes)
        That lie beside the result.
    keep_damaged : bool
    """

    options: tuple[tuple[str, str], ...]
    files: tuple[tuple[Path, bytes], ...]
    keep_damaged: bool = False

    def value(self, name: str) -> str | None:
        """Return the value of an option, or None if it is not given."""
        return dict(self.options).get(name)

    def write_files(self) -> None:
        """Write the files; OutputError if that fails."""
        for path, data in self.files:
            write_atomic(path, data)

    def recolor_options(self) -> RecolorOptions:
        """Read the options, as `recolor` does, from the files that were written."""
        value = self.value
        hints, pick, seed = value("hint"), value("pick"), value("seed")
        temperature, strength = value("temperature"), value("palette-strength")
        return RecolorOptions(
            None if temperature is None else float(temperature),
            float(value("strength") or 1),
            0.0,
            value("only-gray") is not None,
            read_mask(value("mask")),
            steering_of(
                value("palette"),
                None if strength is None else float(strength),
                [hints] if hints else (),
                int(pick) if pick else None,
                int(seed) if seed else None,
            ),
        )


class Results:
    """Makes results and commands.

    Parameters
    ----------
    model, device : str
        As the command line names them.
    guides : Guides
    writer : OwnProcess
        Recolors the pictures.
    """

    def __init__(self, model: str, device: str, guides: Guides, writer: OwnProcess) -> None:
        # A model may be a file, which another folder does not have.
        self._model = os.path.abspath(model) if os.path.exists(model) else model
        self._device = device
        self._guides = guides
        self._writer = writer

    def recipe(self, picture: ShelfPicture, opened: OpenPicture, wishes: Wishes) -> Recipe:
        """Return what makes the result that is wished for."""
        located, files = self._locate(picture, wishes)
        options: list[tuple[str, str]] = []
        if self._model != _DEFAULT_MODEL:
            options.append(("model", self._model))
        if self._device != _DEFAULT_DEVICE:
            options.append(("device", self._device))
        if wishes.temperature is not None:
            options.append(("temperature", number_text(wishes.temperature)))
        if wishes.strength != 1:
            options.append(("strength", number_text(wishes.strength)))
        if wishes.only_gray:
            options.append(("only-gray", ""))
        if located.mask:
            options.append(("mask", located.mask))
        if located.palette:
            options.append(("palette", located.palette.text))
            if wishes.palette_strength != DEFAULT_STRENGTH:
                options.append(("palette-strength", number_text(wishes.palette_strength)))
        choices = choices_path(picture)
        if wishes.hints:
            options.append(("hint", str(choices)))
        if wishes.pick > 1:
            options.append(("pick", str(wishes.pick)))
            if wishes.seed:
                options.append(("seed", str(wishes.seed)))
        if opened.damage:
            options.append(("damaged", "keep"))
        # Without a choice, only the file of earlier choices is replaced.
        if wishes != Wishes() or choices.exists():
            files.append((choices, encode_choices(located, opened.digest)))
        return Recipe(tuple(options), tuple(files), bool(opened.damage))

    def _locate(
        self, picture: ShelfPicture, wishes: Wishes
    ) -> tuple[Wishes, list[tuple[Path, bytes]]]:
        """Return the wishes with paths and texts for keys, and the files to write for them."""
        files: list[tuple[Path, bytes]] = []

        def beside(label: str, sent: Path, ending: str) -> str:
            path = chosen_path(picture.destination, label, ending)
            files.append((path, sent.read_bytes()))
            return str(path)

        mask, palette = wishes.mask, wishes.palette
        if mask:
            mask = beside(MASK, self._guides.path(mask), ".png")
        if palette:
            text = self._guides.palette_text(palette)
            palette = replace(palette, text=text)
            if self._guides.is_temporary(text):
                palette = PaletteWish("file", beside(PALETTE, Path(text), Path(text).suffix))
        return replace(wishes, mask=mask, palette=palette), files

    def command(self, picture: ShelfPicture, recipe: Recipe) -> str:
        """Return the command line that makes the result."""
        folder = picture.source.parent

        def place(path: str) -> str:
            # A dropped picture has no folder here that its user knows.
            if picture.is_dropped and Path(path).parent == folder:
                return f".{os.sep}{Path(path).name}"
            return path

        words = ["recolor", shell_word(place(str(picture.source)))]
        words += ["-o", shell_word(place(str(picture.destination))), "--overwrite"]
        for name, value in recipe.options:
            words.append(f"--{name}")
            if value:
                words.append(shell_word(place(value)))
        return " ".join(words)

    def save(self, picture: ShelfPicture, recipe: Recipe) -> Outcome:
        """Write the result and the files beside it."""
        recipe.write_files()
        job = Job(str(picture.source), str(picture.destination))
        return self._writer.call(_make_result, job, recipe, self._model, self._device)


def _make_result(job: Job, recipe: Recipe, model: str, device: str) -> Outcome:
    """Make a result as the command line does. This runs in a process of its own."""
    recolor = recipe.recolor_options()
    hint = recipe.value("hint")
    provenance = run_provenance(
        model,
        describe_colors(
            recolor, recipe.value("mask"), recipe.value("palette"), [hint] if hint else ()
        ),
    )
    output = OutputOptions(
        out=job.destination,
        overwrite=True,
        pick=int(recipe.value("pick") or 1),
        seed=int(recipe.value("seed") or 0),
        keep_damaged=recipe.keep_damaged,
        provenance=provenance,
    )
    budget = MemoryBudget(memory_for_pictures())
    work = PictureWork(Recolorizer(_network(model, device), recolor), output, budget)
    return work(job, MissingOutputs(True))


@lru_cache(1)
def _network(model: str, device: str) -> OnnxColorNetwork:
    return OnnxColorNetwork.load(model, device)
