"""The files that options name: those of this machine, or only some that came with a request."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from errno import ENOENT
from pathlib import Path
from typing import Protocol

from recolor_cli.errors import InputError, UsageError
from recolor_cli.system import stores
from recolor_cli.system.places import is_address, local_name


class NamedFiles(Protocol):
    """Files that options may name."""

    @property
    def max_pixels(self) -> int | None:
        """Pixels that a picture among them may declare; None is any number."""
        ...

    def exists(self, name: str) -> bool:
        """Tell whether there is a file of this name."""
        ...

    def read(self, name: str) -> bytes:
        """Return the contents of a file.

        Raises
        ------
        OSError, ValueError
            If it cannot be read, or no file can have the name.
        InputError
            If it is an object that cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """All files of this machine, and objects on stores."""

    max_pixels: int | None = None

    def exists(self, name: str) -> bool:
        """Tell whether there is a file of this name."""
        return is_address(name) or (os.path.exists(name) and not os.path.isdir(name))

    def read(self, name: str) -> bytes:
        """Return the contents of a file; raises OSError or ValueError, of an object InputError."""
        return stores.read(name) if is_address(name) else Path(local_name(name)).read_bytes()


@dataclass(frozen=True, slots=True)
class SentFiles:
    """Files that came with a request, and no others.

    Parameters
    ----------
    contents : mapping of str to bytes
        By name.
    max_pixels : int or None
    """

    contents: Mapping[str, bytes]
    max_pixels: int | None = None

    def exists(self, name: str) -> bool:
        """Tell whether there is a file of this name."""
        return name in self.contents

    def read(self, name: str) -> bytes:
        """Return the contents of a file; raises FileNotFoundError."""
        if name not in self.contents:
            raise FileNotFoundError(ENOENT, "no such file came with the request", name)
        return self.contents[name]


LOCAL_FILES = LocalFiles()


def read_guide(files: NamedFiles, name: str, kind: str, advice: str) -> bytes:
    """Return the contents of the palette or the hints that an option names.

    Parameters
    ----------
    files : NamedFiles
    name : str
    kind : str
        What it is, for the message.
    advice : str
        For what is no object on a store, whose errors have advice of their own.

    Raises
    ------
    UsageError
        If it cannot be read.
    """
    try:
        return files.read(name)
    except InputError as error:
        raise UsageError(f"cannot read the {kind} {name}: {error}", error.hint) from error
    except (OSError, ValueError) as error:  # a NUL in the name, for example
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read the {kind} {name}: {reason}", advice) from error
