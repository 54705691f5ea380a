"""The provenance of a result: facts on how it was made, which a later run compares with its own."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

PROGRAM = "recolor"
DIGITAL_SOURCE_TYPE = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)

_BLOCKS, _BLOCK_SIZE = 4, 1024  # of a source that are hashed; bytes
_DIGEST = re.compile(" [0-9a-f]{16}$")  # of what a file holds, behind its name in an option
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Facts on how a result was made.

    Parameters
    ----------
    source : str
        Name of the source's file, without its folder; empty for standard input.
    source_digest : str
        From `digest_of_data` or `digest_of_file`; empty if it is not known.
    model, model_digest : str
        Name of the model, and SHA-256 of its file.
    version : str
        Of the program; empty stands for the one that runs.
    options : tuple of (str, str)
        Names and values of the options that change pixels, as on the command line. A flag has an
        empty value. Options that are off are missing.
    """

    source: str = ""
    source_digest: str = ""
    model: str = ""
    model_digest: str = ""
    version: str = ""
    options: tuple[tuple[str, str], ...] = ()

    def with_version(self) -> Provenance:
        """Return the facts with the version of the program that runs, unless they have one."""
        return self if self.version else replace(self, version=_program_version())

    def of_source(self, source: str, digest: str) -> Provenance:
        """Return the facts with those on a source: its path, or ``-``, and its digest."""
        return replace(self, source=_name(source), source_digest=digest)

    def is_of(self, source: str) -> bool:
        """Tell whether the source has the name of another one, a path or an address."""
        return self.source == _name(source)

    def of_variant(self, pick: int, seed: int) -> Provenance:
        """Return the facts of another variant, as ``--pick`` and ``--seed`` make it."""
        kept = [option for option in self.options if option[0] not in ("pick", "seed")]
        return replace(self, options=(*kept, *pick_options(pick, seed)))

    def difference(self, wanted: Provenance, source: str = "", file: str = "") -> str:
        """Return in what a result differs from what a run would make.

        Parameters
        ----------
        wanted : Provenance
            Of what the run would make, without facts on the source.
        source : str
            Path of the run's source.
        file : str
            Path of the file that holds its bytes; empty if they cannot be read twice.

        Returns
        -------
        str
            A phrase such as ``made with --strength 2 instead of 1``; empty if there is none.
        """
        if file and not _may_be_of_file(self.source_digest, file):
            if self.source == _name(source):
                return f"made of another {self.source}, or of an earlier state of it"
            return f"made of {self.source or 'standard input'}"
        if self.model_digest != wanted.model_digest:
            if self.model != wanted.model:
                return f"made with the model {self.model} instead of {wanted.model}"
            return f"made with another file of the model {self.model}"
        old, new = dict(self.options), dict(wanted.options)
        parts = []
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) == new.get(name):
                continue
            was, is_now = (_DIGEST.sub("", options.get(name, "")) for options in (old, new))
            if name not in old:
                parts.append(f"without --{name} {is_now}".rstrip())
            elif name not in new:
                parts.append(f"with --{name} {was}".rstrip())
            elif was == is_now:
                parts.append(f"with another {name} {was}")
            else:
                parts.append(f"with --{name} {was} instead of {is_now}")
        return f"made {', '.join(parts)}" if parts else ""


def _name(source: str) -> str:
    """Return the name of a source's file; empty for standard input."""
    return "" if source == "-" else plain_text(Path(source).name)


def pick_options(pick: int, seed: int) -> list[tuple[str, str]]:
    """Return the options that choose a variant; the first is the same for all seeds."""
    return [("pick", str(pick)), ("seed", str(seed))] if pick > 1 else []


def plain_text(text: str) -> str:
    """Return a text in which what XML cannot hold is replaced, such as bytes that are no text."""
    return _NOT_IN_XML.sub("\ufffd", text)


def digest_of_data(data: bytes) -> str:
    """Return the size of a source in bytes, and a hash of four blocks of it."""
    return _digest(len(data), lambda offset: data[offset : offset + _BLOCK_SIZE])


def digest_of_file(path: str) -> str:
    """Return the `digest_of_data` of a file, of which only some blocks are read.

    Returns
    -------
    str
        Empty if it cannot be read, or if it is a pipe or a device.
    """
    try:
        # A pipe would be waited for.
        return _digest_of_regular_file(path) if os.path.isfile(path) else ""
    except OSError:
        return ""


def _may_be_of_file(digest: str, path: str) -> bool:
    """Tell whether a digest may be that of a file: it is, or one of both is not known."""
    try:
        status = os.stat(path)
        if not digest or not stat.S_ISREG(status.st_mode):
            return True
        # The size is compared first, because it is known without opening the file.
        return digest.startswith(f"{status.st_size}-") and _digest_of_regular_file(path) == digest
    except OSError:
        return True


def _digest_of_regular_file(path: str) -> str:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123, half the time of Path.open

        def read(offset: int) -> bytes:
            file.seek(offset)
            return file.read(_BLOCK_SIZE)

        return _digest(os.fstat(file.fileno()).st_size, read)


def _digest(size: int, read: Callable[[int], bytes]) -> str:
    hashed = hashlib.blake2b(digest_size=8)
    for block in range(_BLOCKS):
        hashed.update(read(size * block // _BLOCKS))
    return f"{size}-{hashed.hexdigest()}"


@cache
def _program_version() -> str:
    from importlib import metadata  # takes as long as a skipped picture a hundred times

    return metadata.version("recolor-cli")
