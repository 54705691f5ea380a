import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from conftest import BrokenNetwork, SpyNetwork
from recolor_cli.errors import InferenceError
from recolor_cli.model.request_batcher import BatchedNetwork


class Echo(SpyNetwork):
    """Answers with the mean lightness of each picture, and slowly enough for others to gather."""

    def predict(self, lightness, temperature):
        super().predict(lightness, temperature)
        time.sleep(0.02)
        means = lightness.mean(axis=(1, 2, 3), keepdims=True)
        return np.broadcast_to(means * temperature, (len(lightness), 2, 16, 16))


def ask(network, values, temperature=1.0, size=64):
    def one(value):
        answer = network.predict(np.full((1, 1, size, size), value, np.float32), temperature)
        assert answer.shape == (1, 2, 16, 16)
        return float(answer.mean())

    with ThreadPoolExecutor(len(values)) as pool:
        return list(pool.map(one, values))


def test_everybody_gets_their_own_answer_from_few_runs(manifest):
    echo = Echo(manifest)
    values = [float(v) for v in range(24)]
    assert ask(BatchedNetwork(echo, 8), values) == values
    sizes = [len(lightness) for lightness, _ in echo.seen]
    assert len(sizes) < 12
    assert set(sizes) <= {1, 2, 4, 8}  # padded to powers of two


def test_runs_do_not_shrink_again(manifest):
    echo = Echo(manifest)
    network = BatchedNetwork(echo, 8)
    values = [float(v) for v in range(24)]
    assert ask(network, values) == values
    most = max(len(lightness) for lightness, _ in echo.seen)
    assert most > 1
    assert ask(network, [3.0]) == [3.0]
    assert len(echo.seen[-1][0]) == most  # CUDA plans anew for another shape
    assert ask(network, [4.0], size=32) == [4.0]
    assert len(echo.seen[-1][0]) == 1  # which that is anyway
    assert ask(network, [5.0]) == [5.0]
    assert len(echo.seen[-1][0]) == most


def test_pictures_of_one_size_go_together_whoever_came_between(manifest):
    class Busy(Echo):
        free = threading.Event()

        def predict(self, lightness, temperature):
            self.free.wait(20)
            return super().predict(lightness, temperature)

    busy = Busy(manifest)
    network = BatchedNetwork(busy, 16)
    sides = [16] + [64, 32] * 8
    with ThreadPoolExecutor(len(sides)) as pool:
        tensors = [np.full((1, 1, side, side), i, np.float32) for i, side in enumerate(sides)]
        answers = [pool.submit(network.predict, tensors[0], 1.0)]
        while network._requests.qsize():  # until the network is busy with it
            time.sleep(0.001)
        answers += [pool.submit(network.predict, tensor, 1.0) for tensor in tensors[1:]]
        while network._requests.qsize() < 16:
            time.sleep(0.001)
        busy.free.set()
        found = [float(answer.result().mean()) for answer in answers]
    assert found == [float(i) for i in range(len(sides))]
    shapes = [lightness.shape for lightness, _ in busy.seen]
    assert shapes[0] == (1, 1, 16, 16)
    assert sorted(shapes[1:]) == [(8, 1, 32, 32), (8, 1, 64, 64)]


def test_pictures_of_other_sizes_and_temperatures_go_apart(manifest):
    echo = Echo(manifest)
    network = BatchedNetwork(echo, 8)
    answers = {}

    def client(key, values, temperature, size):
        answers[key] = ask(network, values, temperature, size)

    threads = [
        threading.Thread(target=client, args=("a", [1.0, 2.0, 3.0], 1.0, 64)),
        threading.Thread(target=client, args=("b", [4.0, 5.0], 2.0, 64)),
        threading.Thread(target=client, args=("c", [6.0, 7.0], 1.0, 32)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {"a": [1, 2, 3], "b": [8, 10], "c": [6, 7]}
    assert all(len(np.unique(lightness[0])) == 1 for lightness, _ in echo.seen)


def test_a_failure_reaches_all_who_asked_and_the_next_are_served(manifest):
    broken = BrokenNetwork(manifest)
    network = BatchedNetwork(broken, 8)
    for _ in range(2):
        with pytest.raises(InferenceError, match="out of memory"):
            ask(network, [1.0, 2.0])
    broken._answer = 3.0
    assert ask(network, [1.0]) == [3.0]
    assert network.device == "cpu"
    assert network.manifest is manifest
