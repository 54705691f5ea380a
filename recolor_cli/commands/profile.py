"""`recolor profile`: foreign profiles, which describe networks made elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import click

from recolor_cli.commands.options import SETTINGS
from recolor_cli.errors import ExitCode, UsageError


@click.command(context_settings=SETTINGS)
@click.argument("name", required=False)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File to write; else print it.")
def profile(name: str | None, out: Path | None) -> ExitCode:
    """Write a profile that comes along, to lie beside a network made elsewhere.

    Without NAME it lists them.

    \b
    recolor profile ddcolor -o ddcolor.toml
    recolor old.jpg -m ddcolor.toml
    """  # noqa: D301
    from recolor_cli.model.registry import PROFILES
    from recolor_cli.system.files import write_atomic
    from recolor_cli.terminal.console import Console

    console = Console()
    if name is None:
        if out:
            raise UsageError("--out is for one profile", f"name one of {', '.join(PROFILES)}")
        for known in PROFILES:
            console.data(known)
        return ExitCode.OK
    if name not in PROFILES:
        raise UsageError(f"no profile is called {name}", f"there are: {', '.join(PROFILES)}")
    if out is None:
        console.data(PROFILES[name].read_text(encoding="utf-8").rstrip("\n"))
        return ExitCode.OK
    if os.path.exists(out):
        raise UsageError(f"{out} exists already", "name another file, or remove that one")
    write_atomic(out, PROFILES[name].read_bytes())
    console.data(str(out))
    return ExitCode.OK
