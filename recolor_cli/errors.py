"""All errors that users meet, and their exit codes.

RecolorError
├── UsageError          2   the options do not make sense together
├── NoInputsError       3   nothing matched
├── ModelError          4   the model is missing or cannot be run
├── DeviceError         5   the requested device cannot be used
├── InputError          1   this picture cannot be read or recolored
│   └── DamagedError    1   a part of it is missing or wrong, the rest can be decoded
├── OutputError         1   this result cannot be written
│   ├── FolderError     1   nothing can be written to its folder or disk
│   └── DiskFullError   1   its disk has no room for it
└── InferenceError      1   the network failed on this picture

The codes are part of the interface. `docs/options.md` documents them, and they do not
change.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the process."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    NO_INPUTS = 3
    MODEL = 4
    DEVICE = 5
    BUG = 70
    INTERRUPTED = 130


class RecolorError(Exception):
    """A failure that is caused by the user, a file or the system, not by a bug.

    Parameters
    ----------
    message : str
        What went wrong, and with which file.
    hint : str
        The next step to take.
    cause : str
        The rest of a sentence that begins with "because", if many inputs may fail by one cause,
        which is then reported once. Empty for an error of one input.
    """

    exit_code = ExitCode.SOME_FAILED

    def __init__(self, message: str, hint: str = "", cause: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.cause = cause

    def __reduce__(self) -> tuple[type[RecolorError], tuple[str, str, str]]:
        # The default pickling would lose the hint between processes.
        return type(self), (self.message, self.hint, self.cause)


class UsageError(RecolorError):
    """The options contradict each other."""

    exit_code = ExitCode.USAGE


class NoInputsError(RecolorError):
    """No input matched, so there is nothing to do."""

    exit_code = ExitCode.NO_INPUTS


class ModelError(RecolorError):
    """The model file is missing or broken, or violates the contract for model files."""

    exit_code = ExitCode.MODEL


class DeviceError(RecolorError):
    """The requested device cannot run the network."""

    exit_code = ExitCode.DEVICE


class InputError(RecolorError):
    """One picture cannot be read or recolored."""


class DamagedError(InputError):
    """A part of one picture is missing or wrong. The rest can be decoded on demand."""


class OutputError(RecolorError):
    """One result cannot be written."""


class FolderError(OutputError):
    """Nothing can be written to a folder: it is read-only, forbidden, or its disk is gone."""


class DiskFullError(OutputError):
    """A disk has no room for a result."""


class InferenceError(RecolorError):
    """The network failed on one picture."""
