"""Start the program: ``recolor``, or ``python -m recolor_cli``."""

# The module `signal` imports `enum`, which takes longer than all before it. This is its C part.
import _signal as signal  # type: ignore[import-not-found]
import os
import sys


def main() -> int:
    """Run the program and return its exit code.

    Until a command takes over, Ctrl-C ends the process at once. An exception could be lost within
    an import, or shown as a traceback.
    """
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as nohup sets it
        signal.signal(signal.SIGINT, _end)
    from recolor_cli.cli import main as run_command
    from recolor_cli.terminal.streams import tolerate_lost_messages

    tolerate_lost_messages()
    code = run_command()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done; the interpreter only cleans up
    return code


def _end(number: int, frame: object) -> None:
    try:
        os.write(2, b"interrupted\n")
    finally:  # also where standard error is closed
        os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
