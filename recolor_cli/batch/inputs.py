"""Find the inputs that a name stands for: a file, the files of a folder, standard input."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from urllib.parse import unquote

from recolor_cli.batch.destination import DEFAULT_SUFFIX, job_of, place_error, stream_destination
from recolor_cli.batch.file_identity import path_key
from recolor_cli.batch.folder_search import is_folder, original_name, search
from recolor_cli.batch.job import STREAM, Job, as_stream, is_stream
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.sidecar_names import is_thumbnail, without_label
from recolor_cli.errors import InputError, UsageError
from recolor_cli.image.formats import SUFFIXES
from recolor_cli.system.places import (
    address_error,
    below,
    is_address,
    is_url,
    relative_to,
    sibling,
    without_password,
)
from recolor_cli.system.stores import LISTINGS


def jobs_of(
    name: str, recursive: bool, options: OutputOptions, suffix: str, destination: str | None
) -> Iterator[Job]:
    """Yield the jobs of one input.

    Parameters
    ----------
    name : str
        A file, a folder, or `STREAM`.
    recursive : bool
        Search folders in depth.
    options : OutputOptions
    suffix : str
        From `result_suffix`.
    destination : str or None
        From `single_destination`; None names each result after its input.

    Raises
    ------
    UsageError
        If the name is empty.
    """
    if not name:
        raise UsageError("an input's name is empty", "check the quotes and variables")
    jobs = _jobs_of(name, recursive, options, suffix, destination)
    shard = options.shard
    if shard is None:
        yield from jobs
        return
    folder = options.base or (name if is_folder(name) else None)
    for job in jobs:
        is_ours = shard.holds(_name_in_shards(job.source, folder))
        yield job if is_ours else job._replace(is_of_other_shard=True)


def _name_in_shards(source: str, folder: str | None) -> str:
    """Return the name that decides the shard of a source: its path below a folder.

    The folder is the base, or else the one that was searched. Without both it is the file's name
    alone, so that machines may have the pictures in different places.
    """
    path = relative_to(source, folder) if folder else None
    return (path or PurePath(PurePath(source).name)).as_posix()


def _jobs_of(
    name: str, recursive: bool, options: OutputOptions, suffix: str, destination: str | None
) -> Iterator[Job]:
    if is_stream(name):
        stream = as_stream(name)
        yield Job(stream, destination or stream_destination(options, stream))
        return
    if is_address(name):
        if error := place_error(options, [name]):
            yield Job(without_password(name), error=InputError(error.message, error.hint))
            return
        if unusable := address_error(name):
            yield Job(name, error=unusable)
            return
    elif is_url(name) and not os.path.exists(name):
        yield Job(name, error=_url_error(name))
        return
    place = name if is_address(name) else str(Path(name))
    if place == STREAM:  # a file of this name, given as ./-
        place = f"{os.curdir}/{STREAM}"
    found: Iterable[tuple[str, str] | Job] = [(place, PurePath(name).name)]
    if is_folder(name):
        found = search(name, recursive, suffix or DEFAULT_SUFFIX, options)
    for entry in found:
        if isinstance(entry, Job):
            yield entry
            continue
        source, relative = entry
        if is_thumbnail(source):
            continue
        if options.backup is not None:
            place = os.path.realpath(source)  # a link stays a link
            if place == os.path.abspath(source):  # no link: results are told by the name given
                place = source
            if not _is_sidecar_in_place(place, options.backup):
                yield Job(source, place, backup=place + options.backup)
        elif destination:
            yield Job(source, destination)
        elif options.base is None:
            yield job_of(source, relative, options, suffix)
        elif path := relative_to(source, options.base):
            yield job_of(source, path.as_posix(), options, suffix)
        else:
            outside = InputError(
                f"it does not lie in the folder {options.base}",
                "name a folder that holds all inputs with --base",
            )
            yield Job(source, error=outside)


def _url_error(url: str) -> InputError:
    if url.lower().startswith("file:"):
        path = unquote(url.partition("://")[2].removeprefix("localhost"))
        return InputError("it is the URL of another machine's file", f"name the file: {path}")
    return InputError(
        "recolor reads files and downloads nothing",
        "download it first: curl -L -o FILE URL; a picture also by curl -sL URL | recolor - > FILE",
    )


def original_stem(stem: str, suffix: str) -> str:
    """Return the path, without its ending, of the picture that a result would be made from.

    Parameters
    ----------
    stem : str
        A path without its ending. It is returned unchanged if it is not named like a result.
    suffix : str
        From `result_suffix`.
    """
    _, name = os.path.split(stem)
    return stem.removesuffix(name) + original_name(name, suffix or DEFAULT_SUFFIX)


def is_earlier_result(source: str, suffix: str, options: OutputOptions) -> bool:
    """Tell by its name whether a file is a result, or a sidecar file, of a picture that exists.

    The picture may have the name of another format. It lies beside the file or, if the file lies in
    the output folder, below the base.
    """
    path = PurePath(source)
    original = original_name(path.stem, suffix or DEFAULT_SUFFIX)
    if original != path.stem and _is_there(source, original):
        return True
    if options.out is None or options.base is None:
        return False
    path_in_out = relative_to(source, options.out)
    if path_in_out is None or path_key(options.out) == path_key(options.base):
        return False
    place = below(options.base, path_in_out)
    stem = path_in_out.stem
    return any(_is_there(place, name) for name in {stem, original_name(stem, suffix)})


def _is_there(place: str, stem: str) -> bool:
    """Tell whether there is a picture of a name beside a place, with the ending of any format."""
    exists = LISTINGS.is_written if is_address(place) else os.path.exists
    endings = (PurePath(place).suffix, *SUFFIXES, *map(str.upper, SUFFIXES))
    return any(exists(sibling(place, stem + ending)) for ending in endings)


def _is_sidecar_in_place(path: str, backup: str) -> bool:
    """Tell whether a file is a sidecar file of a picture that an earlier run recolored in place."""
    result = Path(path).with_stem(without_label(Path(path).stem))
    return result != Path(path) and os.path.exists(f"{result}{backup}")
