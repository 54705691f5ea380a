"""`recolor models add` and `recolor models remove`."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import click

from recolor_cli.commands.completers import added_model_names, known_model_names
from recolor_cli.commands.options import SETTINGS
from recolor_cli.errors import ExitCode

if TYPE_CHECKING:
    from recolor_cli.model.addition import Addition
    from recolor_cli.model.receipts import Receipt
    from recolor_cli.terminal.console import Console, Ticker
    from recolor_cli.terminal.progress_bar import Bar


def _read_checksum(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if value and not re.fullmatch("[0-9a-fA-F]{64}", value):
        raise click.BadParameter("a SHA-256 has 64 hexadecimal digits", ctx, param)
    return value


@click.command(context_settings=SETTINGS)
@click.argument("what", metavar="NAME|URL|FILE", shell_complete=known_model_names)
@click.argument("source", required=False, metavar="[SOURCE]")
@click.option(
    "--sha256",
    default="",
    metavar="HEX",
    callback=_read_checksum,
    help="Checksum that the file must have. [the published one, or that of the first download]",
)
def add(what: str, source: str | None, sha256: str) -> ExitCode:
    """Add somebody else's network, or a model of yours, for -m to name.

    \b
    recolor models add ddcolor                        download it from where it is published
    recolor models add ddcolor ~/Downloads/net.onnx   take a file or address instead
    recolor models add mine.onnx                      a model of recolor export
    recolor models add theirs.toml theirs.onnx        a network with a profile of its own

    License and source are shown first. A download that was cut goes on when the command is run
    again. docs/models.md tells what each network is for.
    """  # noqa: D301
    from recolor_cli.model.added_models import add_model
    from recolor_cli.model.addition import plan_addition
    from recolor_cli.model.registry import part_path
    from recolor_cli.terminal.console import Console

    console = Console()
    addition = plan_addition(what, source)
    _introduce(addition, console)
    try:
        with _Progress(addition.name, console) as watcher:
            network, receipt = add_model(addition, watcher, sha256)
    except KeyboardInterrupt:
        if not part_path(addition.name).is_file():  # of a copy nothing is left
            raise
        console.error("interrupted", "the same command goes on from here")
        return ExitCode.INTERRUPTED
    _conclude(addition, receipt, console)
    console.data(str(network))
    return ExitCode.OK


@click.command(context_settings=SETTINGS)
@click.argument("name", shell_complete=added_model_names)
def remove(name: str) -> ExitCode:
    """Remove a model that was added, or what is left of an unfinished download."""
    from recolor_cli.model.added_models import remove_model
    from recolor_cli.terminal.console import Console

    remove_model(name)
    Console().note(f"removed {name}")
    return ExitCode.OK


def _introduce(addition: Addition, console: Console) -> None:
    """Report what will be downloaded, from where, and under which license."""
    from recolor_cli.model.added_models import origin_of

    profile = addition.profile
    console.note(f"{addition.name}: {profile.citation}" if profile else addition.name)
    console.note(f"  license: {profile.license if profile else 'the one that the file names'}")
    console.note(f"  from: {origin_of(addition)}")


def _conclude(addition: Addition, receipt: Receipt, console: Console) -> None:
    """Report what the checksum was compared with, and how to use the model."""
    from recolor_cli.model.receipts import Verified

    texts = {
        Verified.PUBLISHED: "the SHA-256 is the one that its publisher states",
        Verified.GIVEN: "the SHA-256 is the one that you gave",
        Verified.REPEATED: "the SHA-256 is the same as at the first download",
        Verified.RECORDED: "no SHA-256 is published; that of this file is recorded, and later "
        "downloads must have it",
        Verified.NO: "there is none to compare that of the file with",
    }
    console.note(f"  checksum: {texts[receipt.verified]}")
    if receipt.verified is Verified.NO and addition.profile and addition.profile.sha256:
        console.warn(
            "the file is not the one that is published: it is another export of the network, or "
            "damaged"
        )
    console.note(f"added; use it with: recolor -m {addition.name} old/ -o new/")


class _Progress(contextlib.ExitStack):
    """Shows how far a download is, as a bar if stderr is a terminal."""

    def __init__(self, name: str, console: Console) -> None:
        super().__init__()
        self._name = name
        self._console = console
        self._bar: Ticker | Bar | None = None
        self._shown = 0
        self._total: int | None = None

    def on_size(self, total: int | None) -> None:
        """Show the bar, once."""
        from recolor_cli.system.texts import megabytes

        self._total = total
        if self._bar is None:
            self._console.note(f"  size: {megabytes(total) if total is not None else 'unknown'}")
            self._bar = self.enter_context(self._console.progress(total, "bytes", self._name))

    def on_progress(self, done: int) -> None:
        """Move the bar."""
        if self._bar:
            self._bar.advance(done - self._shown)
        self._shown = done

    def on_cut(self, reason: str) -> None:
        """Report why a download was interrupted."""
        self._console.warn(f"{reason}; trying again")
