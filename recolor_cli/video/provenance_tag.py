"""The provenance of a film, as a tag of its container.

Each container has a tag of its own that its muxer keeps and its demuxer finds again. MPEG-TS has
none. The text is the program's name and version, and a JSON object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av
import av.error

from recolor_cli.errors import InputError
from recolor_cli.image.film_names import is_sequence
from recolor_cli.image.provenance import (
    DIGITAL_SOURCE_TYPE,
    PROGRAM,
    Provenance,
    digest_of_file,
)
from recolor_cli.video.image_sequence import find_whole_sequence, format_frame_path

# MP4 returns it as `encoder`, which the muxers write themselves in all other containers.
_KEYS = {"mp4": "encoding_tool", "mov": "comment", "3gp": "comment"}
_OTHER_KEY = PROGRAM
_RECORD = re.compile(rf"^{PROGRAM} \S+ (\{{.*\}})$", re.MULTILINE)


def film_provenance(source: str, run: Provenance, pictures: Collection[int] = ()) -> Provenance:
    """Return how the result of a source is made.

    Parameters
    ----------
    source : str
        A file, a pattern of numbered pictures, or ``-``.
    run : Provenance
        Of all results of the run.
    pictures : collection of int
        Numbers of the source's pictures, if it is numbered pictures.
    """
    file = str(format_frame_path(source, min(pictures))) if pictures else source_file(source)
    return run.of_source(source, digest_of_file(file))


def source_file(source: str) -> str:
    """Return the file of a source: of numbered pictures the first one, of ``-`` none."""
    if not is_sequence(source):
        return "" if source == "-" else source
    try:
        return str(format_frame_path(source, min(find_whole_sequence(source))))
    except InputError:  # there are no pictures any more
        return source


def with_record(
    tags: Mapping[str, str], container: str, provenance: Provenance | None
) -> dict[str, str]:
    """Return the tags of a result: those of its source, and how it was made.

    Parameters
    ----------
    tags : mapping of str to str
        Of the source. What they say about how it was made is left out.
    container : str
        FFmpeg's name.
    provenance : Provenance or None
        None adds nothing.
    """
    kept = {}
    for key, value in tags.items():
        if not _RECORD.search(value):
            kept[key] = value
        elif rest := _RECORD.sub("", value).strip():
            kept[key] = rest
    if provenance:
        key = _KEYS.get(container, _OTHER_KEY)
        provenance = provenance.with_version()
        facts = {"digital_source_type": DIGITAL_SOURCE_TYPE, **asdict(provenance)}
        facts["options"] = dict(provenance.options)
        record = f"{PROGRAM} {provenance.version} {json.dumps(facts, ensure_ascii=False)}"
        before = next((name for name in kept if name.lower() == key), key)
        kept[before] = f"{kept[before]}\n{record}" if before in kept else record
    return kept


def read_film_provenance(path: Path) -> Provenance | None:
    """Return how a film was made, or None if it does not tell or cannot be read."""
    try:
        # With longer, FFmpeg decodes frames to find out what the streams are.
        options = {"analyzeduration": "0"}
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as film:
            texts = list(film.metadata.values())
    except (av.error.FFmpegError, OSError, ValueError):
        return None
    for text in texts:
        if match := _RECORD.search(text):
            return _parse(match[1])
    return None


def _parse(record: str) -> Provenance | None:
    try:
        facts: dict[str, Any] = json.loads(record)
        return Provenance(
            source=str(facts["source"]),
            source_digest=str(facts["source_digest"]),
            model=str(facts["model"]),
            model_digest=str(facts["model_digest"]),
            version=str(facts["version"]),
            options=tuple((name, str(value)) for name, value in facts["options"].items()),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
