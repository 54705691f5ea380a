"""Gather the requests of several threads into one run of the network, which keeps a GPU busy."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from recolor_cli.model.color_network import ColorNetwork
from recolor_cli.types import FloatArray


class _Request(NamedTuple):
    lightness: FloatArray
    temperature: float
    ab: Future[FloatArray]


class BatchedNetwork:
    """A network that runs all requests that wait when it becomes free as one batch.

    No request waits for a batch to fill: while the network runs one batch, the next one gathers.
    Each batch starts with the request that has waited longest, and takes others of the same shape
    and temperature.

    Parameters
    ----------
    network : ColorNetwork
        Takes several pictures at a time.
    most : int
        Largest number of pictures in a run.
    """

    def __init__(self, network: ColorNetwork, most: int) -> None:
        self._network = network
        self._most = most
        self._requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._padded: dict[tuple[int, ...], int] = {}  # pictures in a run, by a picture's shape
        threading.Thread(target=self._serve, name="recolor-network", daemon=True).start()

    def predict(self, lightness: FloatArray, temperature: float) -> FloatArray:
        """Return ab, as `ColorNetwork.predict` does; raise what the network raises."""
        return self.submit(lightness, temperature).result()

    def submit(self, lightness: FloatArray, temperature: float) -> Future[FloatArray]:
        """Queue a request and return the future of its ab."""
        request = _Request(lightness, temperature, Future())
        self._requests.put(request)
        return request.ab

    def _serve(self) -> None:
        waiting: list[_Request] = []  # the oldest first
        while True:
            if not waiting:
                waiting.append(self._requests.get())
            with suppress(queue.Empty):
                while True:
                    waiting.append(self._requests.get_nowait())
            batch, waiting = self._split_off_batch(waiting)
            self._run(batch)

    def _split_off_batch(self, waiting: list[_Request]) -> tuple[list[_Request], list[_Request]]:
        """Return the next batch and the requests that go on waiting."""
        first = waiting[0]
        batch: list[_Request] = [first]
        others: list[_Request] = []
        for request in waiting[1:]:
            is_alike = (
                request.temperature == first.temperature
                and request.lightness.shape[1:] == first.lightness.shape[1:]
            )
            has_room = sum(len(r.lightness) for r in batch) < self._most
            (batch if is_alike and has_room else others).append(request)
        return batch, others

    def _run(self, batch: list[_Request]) -> None:
        try:
            pictures = np.concatenate([request.lightness for request in batch])
            count, shape = len(pictures), pictures.shape[1:]
            # CUDA plans all convolutions anew when the shape of a run changes. So pad to a power of
            # two, and never to fewer pictures than earlier runs of this shape had.
            padded = max(1 << (count - 1).bit_length(), self._padded.get(shape, 1))
            padding = np.repeat(pictures[-1:], padded - count, axis=0)
            ab = self._network.predict(np.concatenate((pictures, padding)), batch[0].temperature)
            self._padded[shape] = padded  # only now, because memory may not suffice for so many
        except Exception as error:  # it belongs to the threads that wait for a result
            for request in batch:
                request.ab.set_exception(error)
            return
        start = 0
        for request in batch:
            stop = start + len(request.lightness)
            request.ab.set_result(ab[start:stop])
            start = stop
