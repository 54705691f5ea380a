"""Start a worker process, talk to it, and tell how it ended."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

from recolor_cli.batch.messages import InitMessage, ReadyMessage
from recolor_cli.errors import RecolorError
from recolor_cli.system.blocked_signals import blocked_signals

# -P: modules must not come from the folder of the pictures. The parent's own path is handed over.
_PROGRAM = """
import sys
sys.path[:] = sys.argv[2:]
{preamble}
try:
    from recolor_cli.batch.worker_main import main
    main(int(sys.argv[1]))
except Exception as error:
    from recolor_cli.system.memory import is_out_of_memory
    if not is_out_of_memory(error):
        raise
    sys.exit({no_memory})
"""
_NO_MEMORY = 71  # exit code of a process that was short of memory outside a picture
# glibc gives memory back to the system after each picture and gets it anew page by page, which
# takes a twelfth of the time for 1.5 megapixels. These make it keep so many bytes; the memory of
# larger arrays goes back.
_KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}


class WorkerDied(RecolorError):
    """A process ended before it could do anything, for example because it was killed."""


class WorkerProcess:
    """A process that runs `recolor_cli.batch.worker_main`.

    Parameters
    ----------
    init : InitMessage
    preamble : str
        Python code that it runs first.

    Raises
    ------
    RecolorError
        If the system does not start it.
    """

    def __init__(self, init: InitMessage, preamble: str = "") -> None:
        program = _PROGRAM.format(preamble=preamble, no_memory=_NO_MEMORY)
        try:
            self._connection, theirs = multiprocessing.Pipe()
        except OSError as error:
            raise _cannot_start(error) from error
        handle = theirs.fileno()
        try:
            with blocked_signals():
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", program, str(handle), *sys.path],
                    env=_KEEP_MEMORY | os.environ,
                    **_inherit(handle),
                )
        except OSError as error:
            self._connection.close()
            raise _cannot_start(error) from error
        finally:
            theirs.close()  # else its end would not show
        self._ready: ReadyMessage | None = None
        self.send(init)

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def ready(self) -> ReadyMessage:
        """Wait until it has loaded the model.

        Raises
        ------
        WorkerDied
            If it ends.
        RecolorError
            If it cannot load the model.
        """
        if self._ready is None:
            answer = self.receive()
            if not isinstance(answer, ReadyMessage):
                ended = self.end()
                if isinstance(answer, RecolorError):
                    raise answer
                raise WorkerDied(
                    f"the process that recolors {ended} at its start",
                    "close other programs if memory is short; see what `recolor doctor` says",
                    "no process that recolors is left",
                )
            self._ready = answer
        return self._ready

    def send(self, message: object) -> None:
        """Send a message. If the process has ended, `receive` tells so."""
        with suppress(OSError):
            self._connection.send(message)

    def receive(self, seconds: float | None = None) -> Any:
        """Return the next message of the process, or None when it has ended.

        Raises
        ------
        TimeoutError
            If none comes within so many seconds.
        """
        try:
            if seconds is not None and not self._connection.poll(seconds):
                raise TimeoutError
            return self._connection.recv()
        except TimeoutError:
            raise
        except (EOFError, OSError):
            return None

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        self._process.kill()

    def end(self) -> str:
        """Close the connection, wait until the process ends, and return how it ended."""
        self._connection.close()
        code = self._process.wait()
        if code == _NO_MEMORY:
            return "ran out of memory"
        if code >= 0:
            return f"ended with code {code}"
        if -code == getattr(signal, "SIGKILL", 9):
            return "was killed, perhaps for want of memory"
        name = signal.strsignal(-code) or f"signal {-code}"
        return f"crashed ({name.lower()})"


def _inherit(handle: int) -> dict[str, Any]:
    """Return the arguments of Popen that hand a file over, and on Windows keep Ctrl-C away."""
    if sys.platform == "win32":
        os.set_handle_inheritable(handle, True)
        startup = subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]})
        return {"startupinfo": startup, "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"pass_fds": [handle]}


def _cannot_start(error: OSError) -> RecolorError:
    return RecolorError(
        f"the process that recolors cannot be started: {error.strerror}",
        "there may be too many processes, or too little memory",
        "no process that recolors is left",
    )
