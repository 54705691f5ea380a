"""One run of a network for the pictures of several threads: what a GPU needs to be busy."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from recolor_cli.manifest import Manifest
from recolor_cli.types import ColorNetwork, FloatArray


class _Request(NamedTuple):
    lightness: FloatArray
    temperature: float
    answer: Future[FloatArray]


class BatchedNetwork:
    """A network that answers in one run all who are waiting when it gets free.

    Nobody waits for a batch to fill: while the network works on one, the next gathers.

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
        kept: _Request | None = None
        while True:
            batch = [kept or self._requests.get()]
            kept = None
            count = len(batch[0].lightness)
            while count < self._most:
                try:
                    request = self._requests.get_nowait()
                except queue.Empty:
                    break
                alike = request.temperature == batch[0].temperature
                if not (alike and request.lightness.shape[1:] == batch[0].lightness.shape[1:]):
                    kept = request  # the next batch begins with it
                    break
                batch.append(request)
                count += len(request.lightness)
            self._answer(batch)

    def _answer(self, batch: list[_Request]) -> None:
        try:
            together = np.concatenate([request.lightness for request in batch])
            # A library that plans anew for each shape is to meet few: powers of two.
            count = len(together)
            padding = np.repeat(together[-1:], (1 << (count - 1).bit_length()) - count, axis=0)
            ab = self._network.predict(np.concatenate((together, padding)), batch[0].temperature)
        except Exception as error:  # it is the askers'
            for request in batch:
                request.answer.set_exception(error)
            return
        start = 0
        for request in batch:
            stop = start + len(request.lightness)
            request.answer.set_result(ab[start:stop])
            start = stop
