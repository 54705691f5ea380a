"""Every error that a user can meet, and the exit code that it ends with.

RecolorError
├── UsageError          2   the options do not make sense together
├── NoInputsError       3   nothing matched
├── ModelError          4   the model is missing, or is not fit to run
├── DeviceError         5   the requested device cannot be used
├── InputError          1   this picture cannot be read
├── OutputError         1   this result cannot be written
└── InferenceError      1   the network failed on this picture

The codes are part of the interface: the README documents them and they do not change.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    NO_INPUTS = 3
    MODEL = 4
    DEVICE = 5
    BUG = 70
    INTERRUPTED = 130


class RecolorError(Exception):
    """A failure that is the world's fault or the user's, not a bug.

    Parameters
    ----------
    message : str
        What went wrong, and with which file.
    hint : str
        The next step to take.
    """

    exit_code = ExitCode.SOME_FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type[RecolorError], tuple[str, str]]:
        # An exception's own way between processes would lose the hint.
        return type(self), (self.message, self.hint)


class UsageError(RecolorError):
    """The options contradict each other."""

    exit_code = ExitCode.USAGE


class NoInputsError(RecolorError):
    """No input matched, so there is nothing to do."""

    exit_code = ExitCode.NO_INPUTS


class ModelError(RecolorError):
    """The model file is missing, broken, or does not keep the contract."""

    exit_code = ExitCode.MODEL


class DeviceError(RecolorError):
    """The device that was demanded cannot run the network."""

    exit_code = ExitCode.DEVICE


class InputError(RecolorError):
    """One picture cannot be read, or is not fit to be recolored."""


class OutputError(RecolorError):
    """One result cannot be written."""


class InferenceError(RecolorError):
    """The network failed on one picture."""
