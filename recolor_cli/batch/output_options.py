"""Options of results: their place, their format and their sidecar files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from recolor_cli.batch.shard import Shard
from recolor_cli.batch.sidecar_names import COMPARE, CONFIDENCE, VARIANTS, sidecar_path
from recolor_cli.errors import InputError
from recolor_cli.image.film_names import FILM_SUFFIXES
from recolor_cli.image.formats import READABLE, ImageFormat, color_suffix
from recolor_cli.image.provenance import Provenance
from recolor_cli.image.unsupported import unsupported_suffix


@dataclass(frozen=True, slots=True)
class MediaKind:
    """The kind of files that is planned for: pictures, or films.

    Parameters
    ----------
    noun : str
        In the plural.
    readable, writable : str
        Names of the formats that can be read, and endings of those that can be written.
    reads, writes : callable
        Tell by its name whether a file is of this kind, and whether a result may have the name.
    ending : callable
        Returns the ending of a result, given that of its source.
    ending_of_stream : str
        Ending of the result of standard input.
    unsupported : callable
        Returns why a file in a folder is left out that people may take for one of the kind, given
        its ending; or None.
    """

    noun: str
    readable: str
    writable: str
    reads: Callable[[str], bool]
    writes: Callable[[str], bool]
    ending: Callable[[str], str]
    ending_of_stream: str
    unsupported: Callable[[str], InputError | None]


def _is_picture(name: str) -> bool:
    return ImageFormat.of_suffix(os.path.splitext(name)[1]) is not None


PICTURES = MediaKind(
    noun="pictures",
    readable=READABLE,
    writable=", ".join(f.suffix for f in ImageFormat),
    reads=_is_picture,
    writes=_is_picture,
    ending=color_suffix,
    ending_of_stream=ImageFormat.PNG.suffix,
    unsupported=unsupported_suffix,
)

_LOSSY = (ImageFormat.JPEG, ImageFormat.WEBP, ImageFormat.AVIF)  # `quality` changes their pixels


def _unsupported_beside_films(ending: str) -> InputError | None:
    return None if ending.lower() in FILM_SUFFIXES else unsupported_suffix(ending)


PICTURES_BESIDE_FILMS = replace(PICTURES, unsupported=_unsupported_beside_films)
"""The pictures of folders whose films are recolored, too."""


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Options of results: where they go, how they are written, which sidecar files they get.

    Parameters
    ----------
    out : str or None
        A folder, a file, or ``-`` for stdout; None puts each result beside its input.
    suffix : str or None
        Added to the name; None is ``-recolored`` beside the input and nothing in a folder.
    format : ImageFormat or None
        None keeps the input's.
    quality : int
        1..100, for the lossy formats.
    overwrite : bool
        Redo existing results instead of skipping them.
    source_profile : bool
        Write in the picture's own color profile instead of sRGB.
    preserve_times : bool
        Give results the times of their pictures.
    backup : str or None
        The result takes the picture's name, and the picture one with this suffix.
    max_pixels : int
        Refuse pictures whose header declares more.
    compare : bool
        Write before | after as a sidecar file.
    thumbnails : bool
        Make thumbnails of before and after.
    if_gray : bool
        Skip pictures that have color.
    variants : int
        Number of different colorings, of which one is the result and the others are sidecar files,
        with a sheet of all; 0 is the result alone.
    pick : int
        Number of the variant that is the result, from 1.
    seed : int
        Which variants there are.
    confidence : bool
        Write the confidence map as a sidecar file.
    keep_damaged : bool
        Recolor what is left of damaged pictures instead of refusing them.
    exclude : tuple of str
        Patterns of names that are left out when folders are searched, as in `is_excluded`.
    kind : MediaKind
        Kind of files that are planned for.
    base : str or None
        Results keep their path below this folder within `out`. None keeps the path below the folder
        that was searched, and of files the name alone.
    shard : Shard or None
        The part of the inputs that is recolored; None is all.
    provenance : Provenance or None
        Written into results, with what is known of each job, and compared with that of results that
        exist. None does neither.
    """

    out: str | None = None
    suffix: str | None = None
    format: ImageFormat | None = None
    quality: int = 95
    overwrite: bool = False
    source_profile: bool = False
    preserve_times: bool = False
    backup: str | None = None
    max_pixels: int = 500_000_000
    compare: bool = False
    thumbnails: bool = False
    if_gray: bool = False
    variants: int = 0
    pick: int = 1
    seed: int = 0
    confidence: bool = False
    keep_damaged: bool = False
    exclude: tuple[str, ...] = ()
    kind: MediaKind = PICTURES
    base: str | None = None
    shard: Shard | None = None
    provenance: Provenance | None = None

    def provenance_for(self, image_format: ImageFormat | None) -> Provenance | None:
        """Return how results of a format are made, or None if it is not to be recorded."""
        if self.provenance is None or image_format not in _LOSSY:
            return self.provenance
        quality = ("quality", str(self.quality))
        return replace(self.provenance, options=(*self.provenance.options, quality))

    def provenance_of_sidecar(self, label: str, result: Provenance) -> Provenance:
        """Return how the sidecar file with a label is made, from how its result is made."""
        if label.isdecimal():
            return result.of_variant(int(label), self.seed)
        if label == VARIANTS:
            number = ("variants", str(self.variants))
            return replace(result, options=(*result.options, number))
        return result

    @property
    def needs_distribution(self) -> bool:
        """Whether the network must give a distribution over colors, not one color."""
        return bool(self.variants) or self.confidence

    def sidecar_paths(self, destination: str) -> list[str]:
        """Return the paths of all sidecar files of a result."""
        return self.comparison_sidecars(destination) + self.network_sidecars(destination)

    def comparison_sidecars(self, destination: str) -> list[str]:
        """Return the paths of the sidecar files that are made from a picture and its result."""
        return [sidecar_path(destination, COMPARE)] if self.compare else []

    @property
    def sidecar_labels(self) -> list[str]:
        """Labels of all sidecar files of a result."""
        return [*self.network_labels, COMPARE] if self.compare else self.network_labels

    def network_sidecars(self, destination: str) -> list[str]:
        """Return the paths of the sidecar files that need the network."""
        return [sidecar_path(destination, label) for label in self.network_labels]

    @property
    def network_labels(self) -> list[str]:
        """Labels of the sidecar files that need the network. The result is a variant, too."""
        others = (number for number in range(1, self.variants + 1) if number != self.pick)
        labels = [*map(str, others), VARIANTS] if self.variants else []
        return [*labels, CONFIDENCE] if self.confidence else labels
