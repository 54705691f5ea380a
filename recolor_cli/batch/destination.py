"""The name and the place of results, from the options ``-o``, ``--suffix`` and ``--in-place``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from recolor_cli.batch.folder_search import is_folder
from recolor_cli.batch.job import STREAM, Job, descriptor_of
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.errors import UsageError
from recolor_cli.image.formats import ImageFormat
from recolor_cli.system.places import (
    absolute,
    below,
    common_folder,
    folder_of,
    is_address,
    names_folder,
    password_error,
    sibling,
)

DEFAULT_SUFFIX = "-recolored"


def job_of(source: str, relative: str, options: OutputOptions, suffix: str) -> Job:
    """Return the job of a file whose result is named after it.

    Parameters
    ----------
    source : str
        A path or an address.
    relative : str
        Path, with slashes, within the folder that was searched, or below ``--base``; the result
        gets the same one within ``-o``.
    options : OutputOptions
    suffix : str
        From `result_suffix`.
    """
    stem, ending = os.path.splitext(relative)
    ending = options.format.suffix if options.format else options.kind.ending(ending)
    result = f"{stem}{suffix}{ending}"
    if options.out is None:
        return Job(source, sibling(source, result.rpartition("/")[2]))
    return Job(source, below(options.out, result))


def result_suffix(options: OutputOptions) -> str:
    """Return the text that is added to the names of results.

    Raises
    ------
    UsageError
        If it has a slash in it.
    """
    suffix = options.suffix
    if suffix is None:
        suffix = DEFAULT_SUFFIX if options.out is None else ""
    if "/" in suffix or os.sep in suffix:
        raise UsageError(f"the suffix {suffix} has a slash in it", "use -o for a folder")
    return suffix


def stream_destination(options: OutputOptions, name: str = STREAM) -> str:
    """Return the destination of a stream: standard output, or a file in the folder ``-o``.

    Parameters
    ----------
    options : OutputOptions
    name : str
        `STREAM`, or that of a descriptor, such as ``/dev/fd/63``.
    """
    if options.out is None:
        return STREAM
    ending = options.format.suffix if options.format else options.kind.ending_of_stream
    stem = "stdin" if name == STREAM else f"fd{descriptor_of(name)}"
    return below(options.out, f"{stem}{options.suffix or DEFAULT_SUFFIX}{ending}")


def single_destination(options: OutputOptions, several: bool) -> str | None:
    """Return ``-o`` if it names a file or stdout, None if it names a folder or is not given.

    Parameters
    ----------
    options : OutputOptions
    several : bool
        Whether there may be more than one result.

    Raises
    ------
    UsageError
        If the name does not fit the results.
    """
    out = options.out
    if out is None or out == STREAM:
        return out
    if os.path.isdir(out) or out.endswith(("/", os.sep)) or (is_address(out) and names_folder(out)):
        return None
    ending = Path(out).suffix
    if several and (options.kind.writes(out) or os.path.exists(out)):
        raise UsageError(
            f"several results do not fit in the file {out}", f"a folder's name ends in /: {out}/"
        )
    if not ending and os.path.exists(out):
        raise UsageError(
            f"-o {out} exists, and is no folder",
            "name a folder, or a file with an ending; - is standard output",
        )
    if several or not ending:
        return None
    if not options.kind.writes(out):
        raise UsageError(
            f"{out}: files ending in {ending} cannot be written",
            f"use {options.kind.writable}; a folder's name ends in /",
        )
    if options.format and ImageFormat.of_suffix(ending) is not options.format:
        raise UsageError(
            f"--format {options.format.lower()} does not fit the name {out}", "leave --format out"
        )
    return out


def with_common_base(inputs: Sequence[str], options: OutputOptions) -> OutputOptions:
    """Return options in which several folders have a base: the folder that holds all inputs.

    The options are returned unchanged if they have a base, or if at most one input is a folder,
    because a single folder is its own base.

    Raises
    ------
    UsageError
        If the inputs lie on several drives of Windows, or on several stores.
    """
    folders = {absolute(name) for name in inputs if is_folder(name)}
    if options.base is not None or options.out is None or len(folders) < 2:
        return options
    files = [name for name in inputs if name != STREAM and not is_folder(name)]
    folders |= {folder_of(absolute(name)) for name in files}
    try:
        return replace(options, base=common_folder(sorted(folders)))
    except ValueError as error:
        raise UsageError(
            "the inputs lie on several drives or stores", "recolor those of one in a run"
        ) from error


def check_base(options: OutputOptions, destination: str | None) -> None:
    """Check that ``--base`` fits the other options.

    Parameters
    ----------
    options : OutputOptions
    destination : str or None
        From `single_destination`.

    Raises
    ------
    UsageError
        If it is no folder, or results do not go to a folder.
    """
    if options.base is None:
        return
    if options.out is None or destination is not None:
        raise UsageError("--base needs a folder for the results", "name one with -o FOLDER/")
    if not is_address(options.base) and not os.path.isdir(options.base):
        raise UsageError(f"--base {options.base}: there is no such folder", "check the name")


def check_places(inputs: Sequence[str], options: OutputOptions) -> None:
    """Raise UsageError if `-o` is empty, a password is in an address, or an option needs a disk."""
    if options.out == "":
        raise UsageError("-o is empty", "name a folder, a file, or - for standard output")
    out = () if options.out is None else (options.out,)
    addresses = [place for place in (*inputs, *out) if is_address(place)]
    if addresses and (error := place_error(options, addresses)):
        raise error


def place_error(options: OutputOptions, addresses: Sequence[str]) -> UsageError | None:
    """Return why addresses cannot be used, or options do not go with them, or None."""
    if error := next(filter(None, map(password_error, addresses)), None):
        return error
    if options.backup is not None:
        return UsageError("--in-place works on disks, and an address is on a store", "use -o")
    if options.preserve_times:
        return UsageError(
            "--preserve-times works on disks, and an address is on a store, which sets the times",
            "leave it out",
        )
    if options.thumbnails:
        return UsageError(
            "--gallery links files of a disk, and an address is on a store",
            "copy pictures and results to a disk, then run the same command there with --gallery",
        )
    return None


def check_backup(options: OutputOptions) -> None:
    """Check that ``--in-place`` fits the other options and that backups can be told from pictures.

    Raises
    ------
    UsageError
        If not.
    """
    backup = options.backup
    if backup is None:
        return
    if options.out is not None or options.suffix is not None or options.format:
        raise UsageError(
            "--in-place keeps folder, name and format", "leave -o, --suffix and --format out"
        )
    if options.overwrite:
        raise UsageError(
            "--in-place cannot be combined with --overwrite",
            "leave --overwrite out; to redo a picture, move its backup back",
        )
    name = f"x{backup}"  # as a backup has it, which the next run must not take for a picture
    is_picture = options.kind.reads(name) or options.kind.unsupported(os.path.splitext(name)[1])
    if not backup or "/" in backup or os.sep in backup or is_picture:
        raise UsageError(
            f"{backup!r} cannot be the end of a backup's name", "use one such as .orig"
        )
