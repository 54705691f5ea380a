"""Keep a receipt of each model that the user added: its origin, and how far it was verified."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from shlex import quote

from recolor_cli.errors import ModelError
from recolor_cli.model.registry import receipt_path
from recolor_cli.system.files import write_atomic

_CHECKSUMS = ".checksums.json"  # of all downloads so far, by address; it outlives the models


class Verified(StrEnum):
    """The checksum that a network's own was found equal to."""

    PUBLISHED = "published"  # the one that its publisher states
    GIVEN = "given"  # the one that the user gave
    REPEATED = "as before"  # that of the first download of the same address
    RECORDED = "recorded"  # none; it was recorded, for later downloads
    NO = "no"  # none; the user's own file


@dataclass(frozen=True, slots=True)
class Receipt:
    """The facts that are kept of an added model, in a JSON file beside it.

    Parameters
    ----------
    source : str
        Address or file that it is from.
    sha256 : str
        64 hexadecimal digits.
    bytes : int
    verified : Verified
    date : str
        Day on which it was added, YYYY-MM-DD.
    size : int
        Longest side of the network's input, px. A profile may have several.
    """

    source: str
    sha256: str
    bytes: int
    verified: Verified
    date: str
    size: int


def read_receipt(network: Path) -> Receipt | None:
    """Return what is kept of a network or profile; None if it was not added by the program.

    Raises
    ------
    ModelError
        If the file beside it is no receipt.
    """
    path = receipt_path(network)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Receipt(**values | {"verified": Verified(values["verified"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path} does not say where {network.stem} is from",
            f"remove the model and add it again: recolor models remove {quote(network.stem)}",
        ) from error


def write_receipt(network: Path, receipt: Receipt) -> None:
    """Write the receipt of a network."""
    text = json.dumps(asdict(receipt), indent=2)
    write_atomic(receipt_path(network), f"{text}\n".encode())


def read_checksums(folder: Path) -> dict[str, str]:
    """Return the checksums of the first downloads, by address.

    Raises
    ------
    ModelError
        If the file that holds them is broken.
    """
    path = folder / _CHECKSUMS
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return {str(address): str(digest) for address, digest in values.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{path} cannot be read, which holds the checksums of earlier downloads",
            "remove it if they do not matter any more",
        ) from error


def record_checksum(folder: Path, address: str, digest: str) -> None:
    """Keep the checksum of a download, in place of an earlier one."""
    values = read_checksums(folder) | {address: digest}
    write_atomic(folder / _CHECKSUMS, json.dumps(values, indent=2).encode())
