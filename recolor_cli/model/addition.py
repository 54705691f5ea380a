"""Tell what `recolor models add` is to add: the name, the profile, and where the network lies."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from shlex import quote
from urllib.parse import unquote, urlsplit

from recolor_cli.errors import UsageError
from recolor_cli.model.foreign_profile import ForeignProfile
from recolor_cli.model.manifest import PROPERTY
from recolor_cli.model.model_files import read_properties
from recolor_cli.model.registry import (
    PROFILE_SUFFIX,
    PROFILES,
    added_folder,
    available_models,
    is_build,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


@dataclass(frozen=True, slots=True)
class Addition:
    """A model that is to be added.

    Parameters
    ----------
    name : str
    source : str or Path
        Address or file of the network.
    profile_path : Path or None
        The profile; None for a model file of ours, which describes itself.
    profile : ForeignProfile or None
        Its contents.
    """

    name: str
    source: str | Path
    profile_path: Path | None = None
    profile: ForeignProfile | None = None

    @property
    def is_known(self) -> bool:
        """Whether the profile comes along."""
        return self.profile_path in PROFILES.values()

    @property
    def advice(self) -> str:
        """The command that adds the model from a file of the user's; it ends a hint."""
        what = self.profile_path if self.profile_path and not self.is_known else self.name
        if self.profile_path is None:
            return "recolor models add /path/to/file.onnx"
        return f"recolor models add {quote(str(what))} /path/to/file.onnx"


def plan_addition(what: str, source: str | None = None) -> Addition:
    """Return what the words of a command line mean.

    Parameters
    ----------
    what : str
        A known name, an address, an ONNX file, or a profile.
    source : str or None
        Address or file of the network, if `what` is a name or a profile and it lies elsewhere.

    Raises
    ------
    UsageError
        If they mean nothing, or the name is taken.
    ModelError
        If a file or a profile is broken.
    """
    if "" in (what, source):
        raise UsageError("a name or address is empty", "check the quotes and variables")
    if _is_address(what) or Path(what).suffix.lower() == ".onnx":
        if source is not None:
            raise UsageError(
                f"{what} and {source} are two networks", "begin with a name or a profile"
            )
        addition = _of_network(_place(what))
    else:
        addition = _of_profile(what, source)
    _check_name(addition.name)
    return addition


def _of_network(place: str | Path) -> Addition:
    """Return what a network is: by the profile beside it, its own manifest, or its file's name."""
    file_name = place.name if isinstance(place, Path) else _file_name(place)
    path = place.with_suffix(PROFILE_SUFFIX) if isinstance(place, Path) else None
    describes_itself = isinstance(place, Path) and PROPERTY in read_properties(place)
    if path is None or not os.path.isfile(path):
        path = PROFILES.get(_known_file_names().get(file_name, ""))
    if path is None or describes_itself:
        return Addition(PurePosixPath(file_name).stem, place)
    return Addition(path.stem, place, path, ForeignProfile.load(path))


def _of_profile(what: str, source: str | None) -> Addition:
    """Return what a known name or a profile file is."""
    path = PROFILES.get(what) or Path(what)
    if path.suffix.lower() != PROFILE_SUFFIX:
        raise _unknown(what)
    profile = ForeignProfile.load(path)
    if source is not None:
        return Addition(path.stem, _place(source), path, profile)
    beside = path.parent / profile.file
    if what not in PROFILES and profile.file and os.path.isfile(beside):
        return Addition(path.stem, beside, path, profile)
    if profile.source:
        return Addition(path.stem, profile.source, path, profile)
    raise UsageError(
        f"{path} names no file that is there, and no source",
        f"say where it is: recolor models add {quote(str(path))} ADDRESS",
    )


def _unknown(what: str) -> UsageError:
    """Return the error of a word that is no name, no address, no network and no profile."""
    if os.path.isfile(what):
        return UsageError(f"{what} is no ONNX file", "recolor export makes one of other networks")
    known = ", ".join(PROFILES)
    if what in available_models():
        return UsageError(f"there is a model {what} already", f"to add there are: {known}")
    near = get_close_matches(what, PROFILES, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    return UsageError(
        f"no network is known as {what}",
        f"{hint}known are: {known}; or name an ONNX file or an address that begins with https://",
    )


def _place(text: str) -> str | Path:
    """Return the address or file that a text means."""
    if _is_address(text):
        try:
            if urlsplit(text).hostname:
                return text
        except ValueError:
            pass
        raise UsageError(f"{text} is no address", "an address is like https://HOST/FILE.onnx")
    if re.match(r"[a-z]{2,}://", text, re.IGNORECASE):
        raise UsageError(
            f"{text} cannot be downloaded", "name an address that begins with https://"
        )
    path = Path(text)
    if not os.path.isfile(path):
        raise UsageError(f"no file {text}", "check its name, or name an address")
    return path


def _is_address(text: str) -> bool:
    """Tell whether a text is an address of the web."""
    return text.lower().startswith(("http://", "https://"))


def _file_name(address: str) -> str:
    """Return the name of the file at an address."""
    return PurePosixPath(unquote(urlsplit(address).path)).name


def _known_file_names() -> dict[str, str]:
    """Return the known models by the names of their files, ours and those of the publishers."""
    names = {f"{name}.onnx": name for name in PROFILES}
    for name, path in PROFILES.items():
        names[_file_name(ForeignProfile.load(path).source)] = name
    return names


def _check_name(name: str) -> None:
    """Raise UsageError if a model cannot get this name."""
    if not _NAME.fullmatch(name) or is_build(name):
        raise UsageError(
            f"no model can be called {name!r}",
            "save the file under another name, of letters from a to z, digits, - and _, and add it",
        )
    taken = available_models().get(name)
    if taken is None:
        return
    if taken.parent == added_folder():
        raise UsageError(
            f"there is a model {name} already, in {taken.parent}",
            f"remove it first: recolor models remove {name}",
        )
    raise UsageError(
        f"{name} is a model that comes with recolor",
        "save the file under another name, and add that",
    )
