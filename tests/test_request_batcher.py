import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from conftest import BrokenNetwork, SpyNetwork
from recolor_cli.errors import InferenceError
from recolor_cli.model.request_batcher import BatchedNetwork


class Echo(SpyNetwork):
    """Answer with the mean lightness of each picture times the temperature.

    While `free` is not set, a run does not end, so that the requests after it gather.
    """

    def __init__(self, manifest):
        super().__init__(manifest)
        self.started, self.free = threading.Event(), threading.Event()

    def predict(self, lightness, temperature):
        super().predict(lightness, temperature)
        self.started.set()
        assert self.free.wait(60)
        means = lightness.mean(axis=(1, 2, 3), keepdims=True)
        return np.broadcast_to(means * temperature, (len(lightness), 2, 16, 16))


def picture(value, size=64):
    return np.full((1, 1, size, size), value, np.float32)


def run_while_busy(echo, network, requests):
    """Send requests, (lightness, temperature), while the network runs another; return results."""
    echo.started.clear()
    echo.free.clear()
    first = network.submit(picture(0.0, 16), 1.0)
    assert echo.started.wait(60)
    futures = [network.submit(*request) for request in requests]
    echo.free.set()
    assert first.result(60).mean() == 0
    answers = [future.result(60) for future in futures]
    assert {answer.shape for answer in answers} == {(1, 2, 16, 16)}
    return [float(answer.mean()) for answer in answers]


def shapes_after_the_first(echo):
    return [lightness.shape for lightness, _ in echo.seen][1:]


def test_each_request_gets_its_own_result_from_few_runs(manifest):
    echo = Echo(manifest)
    values = [float(v) for v in range(23)]
    requests = [(picture(value), 1.0) for value in values]
    assert run_while_busy(echo, BatchedNetwork(echo, 8), requests) == values
    assert shapes_after_the_first(echo) == [(8, 1, 64, 64)] * 3  # the last one is padded


def test_threads_get_their_own_results(manifest):
    echo = Echo(manifest)
    echo.free.set()
    network = BatchedNetwork(echo, 8)
    values = [float(v) for v in range(24)]
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda value: network.predict(picture(value), 1.0), values))
    assert [float(answer.mean()) for answer in answers] == values
    assert {len(lightness) for lightness, _ in echo.seen} <= {1, 2, 4, 8}


def test_a_run_has_at_least_as_many_pictures_as_earlier_ones_of_its_shape(manifest):
    echo = Echo(manifest)
    network = BatchedNetwork(echo, 8)
    run_while_busy(echo, network, [(picture(float(v)), 1.0) for v in range(3)])
    for value, size, count in ((3.0, 64, 4), (4.0, 32, 1), (5.0, 64, 4)):
        assert float(network.predict(picture(value, size), 1.0).mean()) == value
        assert len(echo.seen[-1][0]) == count


def test_pictures_of_one_size_go_together_whoever_came_between(manifest):
    echo = Echo(manifest)
    requests = [(picture(float(i), size), 1.0) for i, size in enumerate([64, 32] * 8)]
    found = run_while_busy(echo, BatchedNetwork(echo, 16), requests)
    assert found == [float(i) for i in range(16)]
    assert shapes_after_the_first(echo) == [(8, 1, 64, 64), (8, 1, 32, 32)]


def test_pictures_of_other_sizes_and_temperatures_go_apart(manifest):
    echo = Echo(manifest)
    requests = [(picture(float(value)), 1.0) for value in (1, 2, 3)]
    requests += [(picture(float(value)), 2.0) for value in (4, 5)]
    requests += [(picture(float(value), 32), 1.0) for value in (6, 7)]
    found = run_while_busy(echo, BatchedNetwork(echo, 8), requests)
    assert found == [1, 2, 3, 8, 10, 6, 7]
    assert shapes_after_the_first(echo) == [(4, 1, 64, 64), (4, 1, 64, 64), (2, 1, 32, 32)]


def test_a_failure_reaches_all_who_asked_and_the_next_are_served(manifest):
    broken = BrokenNetwork(manifest)
    network = BatchedNetwork(broken, 8)
    for _ in range(2):
        futures = [network.submit(picture(value), 1.0) for value in (1.0, 2.0)]
        for future in futures:
            with pytest.raises(InferenceError, match="out of memory"):
                future.result(60)
    broken._answer = 3.0
    assert float(network.predict(picture(1.0), 1.0).mean()) == 3.0
