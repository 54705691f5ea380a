"""One run of a network for the pictures of several threads: what a GPU needs to be busy."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from recolor_cli.model.color_network import ColorNetwork
from recolor_cli.model.manifest import Manifest
from recolor_cli.types import FloatArray


class _Request(NamedTuple):
    lightness: FloatArray
    temperature: float
    answer: Future[FloatArray]


class BatchedNetwork:
    """A network that answers in one run all who are waiting when it gets free.

    Nobody waits for a batch to fill: while the network works on one, the next gathers. Who waits
    longest is in the next one, with all whose pictures have the same shape.

    Parameters
    ----------
    network : ColorNetwork
        Takes several pictures at a time.
    most : int
        Pictures in a run.
    """

    def __init__(self, network: ColorNetwork, most: int) -> None:
        self._network = network
        self._most = most
        self._requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._padded: dict[tuple[int, ...], int] = {}  # pictures in a run, by a picture's shape
        threading.Thread(target=self._serve, name="recolor-network", daemon=True).start()

    @property
    def manifest(self) -> Manifest:
        """The network's."""
        return self._network.manifest

    @property
    def device(self) -> str:
        """The network's."""
        return self._network.device

    def predict(self, lightness: FloatArray, temperature: float) -> FloatArray:
        """Return ab, as `ColorNetwork.predict` promises, and raise what the network raises."""
        request = _Request(lightness, temperature, Future())
        self._requests.put(request)
        return request.answer.result()

    def _serve(self) -> None:
        waiting: list[_Request] = []  # the longest first
        while True:
            if not waiting:
                waiting.append(self._requests.get())
            with suppress(queue.Empty):
                while True:
                    waiting.append(self._requests.get_nowait())
            first = waiting[0]
            batch: list[_Request] = [first]
            others: list[_Request] = []
            for request in waiting[1:]:
                alike = (
                    request.temperature == first.temperature
                    and request.lightness.shape[1:] == first.lightness.shape[1:]
                )
                fits = sum(len(r.lightness) for r in batch) < self._most
                (batch if alike and fits else others).append(request)
            waiting = others
            self._answer(batch)

    def _answer(self, batch: list[_Request]) -> None:
        try:
            together = np.concatenate([request.lightness for request in batch])
            count, shape = len(together), together.shape[1:]
            # CUDA plans all convolutions anew when a run has another shape than the one before:
            # so to a power of two, and never to fewer than pictures of this shape had before.
            padded = max(1 << (count - 1).bit_length(), self._padded.get(shape, 1))
            padding = np.repeat(together[-1:], padded - count, axis=0)
            ab = self._network.predict(np.concatenate((together, padding)), batch[0].temperature)
            self._padded[shape] = padded  # not before: there may be no memory for so many
        except Exception as error:  # it is the askers'
            for request in batch:
                request.answer.set_exception(error)
            return
        start = 0
        for request in batch:
            stop = start + len(request.lightness)
            request.answer.set_result(ab[start:stop])
            start = stop
