"""The options of `recolor run` that a request to the server may have, read by the same code."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from recolor_cli.commands.run import run
from recolor_cli.commands.run_options import (
    OptionValues,
    check_combinations,
    output_options,
    provenance_of,
    recolor_options,
)
from recolor_cli.errors import ModelError, UsageError
from recolor_cli.system.named_files import SentFiles

if TYPE_CHECKING:
    from recolor_cli.batch.output_options import OutputOptions
    from recolor_cli.guidance.recolor_options import RecolorOptions
    from recolor_cli.serve.settings import SentFile, ServeSettings

# The others are about files and folders, several pictures, or the terminal.
_NAMES = (
    "model",
    "temperature",
    "strength",
    "keep-original",
    "only-gray",
    "if-gray",
    "mask",
    "pick",
    "seed",
    "palette",
    "palette-strength",
    "hint",
    "format",
    "quality",
    "icc",
    "damaged",
    "max-pixels",
    "no-provenance",
)
_FILE_OPTIONS = ("mask", "palette", "hint")
_OTHER_HELP = {
    "model": "A name that /v1/models lists.",
    "if-gray": "Give pictures that have color back as they were.",
    "palette": 'Pull colors toward a palette by name, or "#c8102e,gold"; or send a file.',
    "hint": "A color at a pixel, as in 120,80,red; or send JSON of such, or a PNG with strokes.",
}


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One picture with options as on the command line, for a worker process.

    Parameters
    ----------
    values : OptionValues
    sent : SentFiles
        The only files that the options can name.
    picture : bytes or None
    seconds : float
    """

    values: OptionValues
    sent: SentFiles
    picture: bytes | None
    seconds: float

    @property
    def model(self) -> str:
        """Name or path of the model."""
        return self.values.model

    def options(self) -> tuple[RecolorOptions, OutputOptions]:
        """Read the options and decode what they name; raises as the command line does."""
        recolor = recolor_options(self.values, self.sent)
        provenance = provenance_of(self.values, recolor)
        return recolor, replace(output_options(self.values), provenance=provenance)


class RunOptions:
    """Reads the options of requests.

    Parameters
    ----------
    settings : ServeSettings
        Its model is the default, and its limits hold.
    """

    file_options = _FILE_OPTIONS

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings

    @property
    def parameters(self) -> list[dict[str, Any]]:
        """The options as parameters of an OpenAPI document."""
        defaults = {
            "model": self._settings.model,
            "max-pixels": self._settings.limits.pixels,
        }
        return [
            {
                "name": name,
                "in": "query",
                "description": _OTHER_HELP.get(name, option.help or ""),
                "schema": _schema(option, defaults.get(name)),
            }
            for name, option in _options().items()
            if name != "mask"  # always a file, which is a field of the form
        ]

    def parse(
        self,
        options: Sequence[tuple[str, str]],
        files: Sequence[SentFile] = (),
        picture: bytes | None = None,
    ) -> RunRequest:
        """Read the options of a request.

        Raises
        ------
        UsageError, ModelError
            If an option is unknown or its value wrong.
        """
        arguments: list[str] = []
        for name, value in [*options, *((file.option, _path(file.name)) for file in files)]:
            arguments += _argument(name, value)
        contents = {_path(file.name): file.content for file in files}
        if len(contents) < len(files):
            raise UsageError("two files have one name", "give them different names")
        try:
            defaults = {"model": self._settings.model}
            with _command().make_context("recolor", arguments, default_map=defaults) as context:
                values = OptionValues(**context.params)
        except click.UsageError as error:
            raise UsageError(error.format_message(), "see /docs") from error
        check_combinations(values)
        self._check_model(values.model)
        limits = self._settings.limits
        values = replace(values, max_pixels=min(values.max_pixels, limits.pixels))
        sent = SentFiles(contents, values.max_pixels)
        return RunRequest(values, sent, picture, limits.seconds)

    def _check_model(self, model: str) -> None:
        """Raise ModelError if it is not one by name: a path could be of any file."""
        from recolor_cli.model.registry import available_models

        if model != self._settings.model and model not in (known := available_models()):
            raise ModelError(
                f"no model is called {model}; there are: {', '.join(known)}",
                "GET /v1/models lists them",
            )


@cache
def _options() -> dict[str, click.Option]:
    """Return the options of requests by name."""
    found = {
        option.opts[-1].removeprefix("--"): option
        for option in run.params
        if isinstance(option, click.Option)
    }
    return {name: found[name] for name in _NAMES}


@cache
def _command() -> click.Command:
    """Return `run` without the variables of the environment, which are the server's."""
    parameters = [copy(parameter) for parameter in run.params]
    for parameter in parameters:
        parameter.envvar = None
    return click.Command("recolor", params=parameters, add_help_option=False)


def _path(name: str) -> str:
    """Return a file's name as an option takes it for one, not for colors or for nothing."""
    return f"./{name}" if name.lstrip()[:1] in ("", "#") else name


def _argument(name: str, value: str) -> list[str]:
    """Return the arguments of the command line that an option of a request stands for."""
    option = _options().get(name)
    if option is None:
        near = get_close_matches(name, _NAMES, 1)
        hint = f"did you mean {near[0]}?" if near else "see /docs"
        raise UsageError(f"a request has no option {name}", hint)
    if not option.is_flag:
        return [f"--{name}={value}"]
    try:
        is_set = value == "" or click.BOOL.convert(value, option, None)
    except click.UsageError as error:
        raise UsageError(error.format_message(), f"write {name}=true, or leave it out") from error
    return [f"--{name}"] if is_set else []


def _schema(option: click.Option, default: Any) -> dict[str, Any]:
    """Return the JSON schema of an option."""
    kind = option.type
    schema: dict[str, Any] = {"type": "string"}
    if option.is_flag:
        schema = {"type": "boolean"}
    elif isinstance(kind, click.Choice):
        schema["enum"] = list(kind.choices)
    elif isinstance(kind, click.IntRange | click.FloatRange):
        schema["type"] = "integer" if isinstance(kind, click.IntRange) else "number"
        limits = {"minimum": kind.min, "maximum": kind.max}
        schema |= {key: value for key, value in limits.items() if value is not None}
    if default is None and option.show_default:
        default = option.default
    if default is not None:
        schema["default"] = default
    return {"type": "array", "items": schema} if option.multiple else schema
