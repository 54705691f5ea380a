"""The process that `recolor_cli.isolation` starts: jobs in, outcomes out."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import warnings
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import BinaryIO

from recolor_cli.batching import BatchedNetwork
from recolor_cli.errors import RecolorError
from recolor_cli.isolation import Ready, Setup, Stop
from recolor_cli.network import OnnxColorNetwork
from recolor_cli.outcome import Outcome
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.types import ColorNetwork, Device, cpu_count
from recolor_cli.work import ThreadWorkers, share_cpus


def main() -> None:
    """Read a `Setup` and then jobs from standard input until it ends."""
    warnings.simplefilter("ignore")  # decoders', of what they repair in a file
    source = sys.stdin.buffer
    # What libraries print is not to come between the outcomes.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        setup: Setup = pickle.load(source)
    except _GONE:
        return
    try:
        workers, ready = prepare(setup)
    except RecolorError as error:
        _say(answers, error)
        return
    _say(answers, ready)
    lock = threading.Lock()

    def tell(future: Future[Outcome], number: int) -> None:
        outcome = None if future.cancelled() else future.result()
        with lock:
            _say(answers, (number, outcome))

    while True:
        try:
            message = pickle.load(source)
        except _GONE:
            break
        if isinstance(message, Stop):
            break
        number, job = message
        future = workers.submit(job)
        future.add_done_callback(partial(tell, number=number))
    workers.close()
    with suppress(OSError):  # as in `_say`
        answers.close()


def prepare(setup: Setup) -> tuple[ThreadWorkers, Ready]:
    """Load the model and make the threads; raises as `open_network`."""
    network, ready = open_network(setup)
    recolorizer = Recolorizer(network, setup.recolor)
    return ThreadWorkers(recolorizer, setup.output, ready.count), ready


def open_network(setup: Setup) -> tuple[ColorNetwork, Ready]:
    """Load the model as several threads are to use it, and divide the CPUs among them.

    Raises
    ------
    ModelError, DeviceError
        As `OnnxColorNetwork.load`; if the model lacks the distribution that is needed.
    """
    most = setup.total or _MANY
    count = min(setup.count or cpu_count(), most)
    loaded = OnnxColorNetwork.load(setup.model, setup.device, share_cpus(count))
    if setup.needs_distribution:
        loaded.require_distribution()
    network: ColorNetwork = loaded
    if loaded.device != Device.CPU:
        # While some wait for the card, others are to decode and encode.
        count = min(setup.count or 2 * cpu_count(), most)
        if not setup.needs_distribution:
            network = BatchedNetwork(loaded, _BATCH)
    return network, Ready(loaded.manifest.name, loaded.device, loaded.cpu_reason, count)


_GONE = (EOFError, OSError, pickle.UnpicklingError)  # the parent, perhaps in the middle of a word
_MANY = 256  # pictures at a time, where nobody says how many there are
_BATCH = 16  # pictures in a run of a GPU


def _say(stream: BinaryIO, message: object) -> None:
    with suppress(OSError):  # the parent is gone: then nobody waits for it
        stream.write(pickle.dumps(message))
        stream.flush()
