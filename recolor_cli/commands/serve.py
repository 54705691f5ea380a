"""`recolor serve`: a page to choose colors by hand, and a service for other programs."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recolor_cli.commands.completers import files
from recolor_cli.commands.options import (
    SETTINGS,
    Number,
    device_option,
    jobs_option,
    max_pixels_option,
    model_option,
    quiet_option,
    verbose_option,
)
from recolor_cli.commands.report import missing_extra, report_device
from recolor_cli.errors import ExitCode, UsageError
from recolor_cli.system.texts import decode_text

if TYPE_CHECKING:
    from recolor_cli.batch.messages import ReadyMessage
    from recolor_cli.serve.settings import ServeSettings
    from recolor_cli.terminal.console import Console

# Imports the modules that requests need, so that the first one need not wait for them.
_PREAMBLE = "import recolor_cli.commands.request_options"
_SHORTEST_TOKEN = 16  # characters


@click.command(context_settings=SETTINGS)
@click.argument("inputs", nargs=-1, metavar="[FOLDER|PICTURE]...", shell_complete=files)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen on. Any but this machine's own needs --token-file.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    default=8765,
    show_default=True,
    help="0 takes a free one.",
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@click.option(
    "--token-file",
    metavar="FILE",
    shell_complete=files,
    help="Answer only those who know the token that is in this file.",
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="A further name by which clients call this server; repeatable.",
)
@model_option
@device_option
@jobs_option("the CPUs")
@click.option(
    "--max-body",
    type=click.IntRange(1, 4096),
    metavar="MB",
    default=200,
    show_default=True,
    help="Refuse larger requests.",
)
@max_pixels_option(100_000_000)
@click.option(
    "--max-seconds",
    type=Number(1, 3600),
    metavar="N",
    default=60,
    show_default=True,
    help="End the work on a picture that takes longer.",
)
@click.option(
    "--max-waiting",
    type=click.IntRange(0, 10_000),
    metavar="N",
    default=32,
    show_default=True,
    help="Refuse more pictures than wait already, until there is room.",
)
@quiet_option
@verbose_option
def serve(
    inputs: tuple[str, ...],
    host: str,
    port: int,
    open_page: bool,
    token_file: str | None,
    allow_host: tuple[str, ...],
    model: str,
    device: str,
    jobs: int | None,
    max_body: int,
    max_pixels: int,
    max_seconds: float,
    max_waiting: int,
    quiet: bool,
    verbose: bool,
) -> ExitCode:
    """Serve a page to choose colors by hand, and a service for programs, on this machine.

    The page shows the pictures of the folders, and those that are dropped on it. Programs send
    pictures to /v1/recolor; /docs describes it. Ctrl-C ends the server when the pictures that it
    has begun are done.
    """
    try:
        from recolor_cli.serve.server import serve as run_server
        from recolor_cli.serve.settings import Limits, ServeSettings
    except ImportError as error:
        raise missing_extra("serve", error) from error
    from recolor_cli.batch.messages import WorkerConfig
    from recolor_cli.batch.output_options import OutputOptions
    from recolor_cli.commands.request_options import RunOptions
    from recolor_cli.guidance.recolor_options import RecolorOptions
    from recolor_cli.model.preflight import check_model
    from recolor_cli.system.places import is_address
    from recolor_cli.terminal.console import Console

    for name in inputs:
        if is_address(name):
            raise UsageError(
                f"the page shows pictures of this disk, and {name} is on a store",
                "copy them to a folder here, or use recolor run",
            )
        if not os.path.exists(name):
            raise UsageError(f"there is no {name}", "name folders or pictures")
    settings = ServeSettings(
        inputs=inputs,
        host=host,
        port=port,
        token=_read_token(token_file),
        allowed_hosts=allow_host,
        model=model,
        device=device,
        limits=Limits(max_body << 20, max_pixels, max_seconds, max_waiting),
    )
    _check_access(settings)
    check_model(model, device, False)
    console = Console(quiet, verbose)
    config = WorkerConfig(model, device, jobs, None, RecolorOptions(), OutputOptions())

    def announce(url: str, ready: ReadyMessage) -> None:
        report_device(ready, console)
        _announce(url, open_page, console)

    run_server(settings, RunOptions(settings), config, _PREAMBLE, announce)
    return ExitCode.OK


def _read_token(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        token = decode_text(Path(path).read_bytes()).strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(
            f"cannot read the token file {path}: {reason}", "check its name and its permissions"
        ) from error
    if len(token) < _SHORTEST_TOKEN or not (token.isascii() and token.isprintable()):
        raise UsageError(
            f"{path} holds no token of at least {_SHORTEST_TOKEN} letters or digits",
            f"make one: openssl rand -hex 32 > {path}",
        )
    return token


def _check_access(settings: ServeSettings) -> None:
    """Raise UsageError if people on other machines could use the server without a token."""
    if not settings.host.strip():
        raise UsageError("--host is empty", "name an address, or leave --host out")
    if not settings.is_local and settings.token is None:
        raise UsageError(
            f"everyone who reaches {settings.host} could use this server",
            "add --token-file FILE, or leave --host out",
        )


def _announce(url: str, open_page: bool, console: Console) -> None:
    """Print the address, and open it in the browser if that is asked for."""
    console.data(url)
    if open_page:
        # Some browsers return when they are closed, and the server has to answer them until then.
        threading.Thread(target=_open, args=(url, console), daemon=True).start()


def _open(url: str, console: Console) -> None:
    import webbrowser

    if not webbrowser.open(url):
        console.warn(f"no browser could be opened; open {url} yourself")
