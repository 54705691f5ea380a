"""The values of the options of `recolor run`, and what they mean for pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from recolor_cli.batch.job import STREAM
from recolor_cli.batch.steering_files import read_mask, steering_of
from recolor_cli.commands.options import GlobalFlags, SharedValues, check_cluster
from recolor_cli.errors import UsageError
from recolor_cli.image.formats import FORMAT_NAMES
from recolor_cli.system.named_files import LOCAL_FILES, NamedFiles

if TYPE_CHECKING:
    from recolor_cli.batch.output_options import MediaKind, OutputOptions
    from recolor_cli.guidance.recolor_options import RecolorOptions
    from recolor_cli.image.provenance import Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionValues(SharedValues):
    """The values of the options of `recolor run`."""

    if_gray: bool
    variants: int | None
    hint: tuple[str, ...]
    confidence: bool
    format_: str | None
    quality: int
    icc: str
    preserve_times: bool
    compare: bool
    gallery: bool
    in_place: str | None
    damaged: str
    max_pixels: int
    files_from: str | None
    jobs: int | None
    cluster: str | None
    watch: bool


def check_combinations(given: OptionValues) -> None:
    """Raise UsageError if options contradict each other."""
    if STREAM in given.inputs and given.files_from == STREAM:
        raise UsageError("standard input cannot be both a list and a picture", "use a file for one")
    if given.seed is not None and not (given.variants or given.pick):
        raise UsageError("--seed needs --variants or --pick", "add one, or leave --seed out")
    if given.variants and given.in_place is not None:
        raise UsageError("--variants cannot be combined with --in-place", "leave one of them out")
    if given.watch and (given.dry_run or given.files_from is not None):
        raise UsageError(
            "--watch cannot be combined with --files-from or --dry-run", "leave these out"
        )
    if given.cluster is not None:
        check_cluster(given)
        if given.watch:
            raise UsageError("--watch cannot be combined with --cluster", "leave one of them out")
    if given.watch and given.shard:
        raise UsageError("--watch cannot be combined with --shard", "leave one of them out")
    if given.watch and given.in_place is not None:
        raise UsageError("--watch cannot be combined with --in-place", "leave one of them out")


def output_options(given: OptionValues) -> OutputOptions:
    """Return how results are written, without their provenance."""
    from recolor_cli.batch.output_options import OutputOptions

    return OutputOptions(
        out=given.out,
        suffix=given.suffix,
        format=FORMAT_NAMES[given.format_] if given.format_ else None,
        quality=given.quality,
        overwrite=given.overwrite,
        source_profile=given.icc == "source",
        preserve_times=given.preserve_times,
        backup=given.in_place,
        max_pixels=given.max_pixels,
        compare=given.compare,
        thumbnails=given.gallery,
        if_gray=given.if_gray,
        variants=given.variants or 0,
        pick=given.pick or 1,
        seed=given.seed or 0,
        confidence=given.confidence,
        base=given.base,
        keep_damaged=given.damaged == "keep",
        exclude=given.exclude,
        shard=given.shard,
        kind=_media_kind(),
    )


def _media_kind() -> MediaKind:
    """Return the pictures. If `film` follows, films in folders are not counted as left out."""
    from recolor_cli.batch.output_options import PICTURES, PICTURES_BESIDE_FILMS

    context = click.get_current_context(silent=True)  # a server has none in its threads
    flags = context.find_object(GlobalFlags) if context else None
    return PICTURES if flags is None or flags.pictures_alone else PICTURES_BESIDE_FILMS


def recolor_options(given: OptionValues, files: NamedFiles = LOCAL_FILES) -> RecolorOptions:
    """Return how to recolor; reads the files of mask, palette and hints."""
    from recolor_cli.guidance.recolor_options import RecolorOptions

    return RecolorOptions(
        given.temperature,
        given.strength,
        given.keep_original,
        given.only_gray,
        read_mask(given.mask, files),
        steering_of(
            given.palette, given.palette_strength, given.hint, given.pick, given.seed, files
        ),
    )


def provenance_of(given: OptionValues, recolor: RecolorOptions) -> Provenance | None:
    """Return the provenance that all results of a run share."""
    from recolor_cli.batch.run_provenance import describe_colors, run_provenance

    if given.no_provenance:
        return None
    options = describe_colors(recolor, given.mask, given.palette, given.hint)
    if given.icc == "source":
        options.append(("icc", given.icc))
    return run_provenance(given.model, options)
