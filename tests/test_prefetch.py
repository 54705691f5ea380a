"""Overlapping stages: order, bounds, errors, an early end."""

import threading
import time

import pytest

from recolor_cli.system.prefetch import ordered_parallel_map, prefetch


def counted(limit, made):
    for number in range(limit):
        made.append(number)
        yield number


def test_ahead_is_ahead_but_not_far():
    made = []
    items = prefetch(counted(100, made), 4)
    assert next(items) == 0
    deadline = time.monotonic() + 5
    while len(made) < 6 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert len(made) == 6  # one is out, four wait, one is in hand
    assert list(items) == list(range(1, 100))


def test_mapped_keeps_order_and_bounds():
    made, running, most = [], [0], [0]
    lock = threading.Lock()

    def slow(number):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.01 if number % 3 else 0.02)
        with lock:
            running[0] -= 1
        return -number

    results = []
    for result in ordered_parallel_map(slow, counted(20, made), 3):
        results.append(result)
        assert len(made) <= len(results) + 3
    assert results == [-number for number in range(20)]
    assert most[0] == 3


@pytest.mark.parametrize(
    "stage", [lambda items: prefetch(items, 2), lambda items: ordered_parallel_map(str, items, 2)]
)
def test_what_goes_wrong_comes_out(stage):
    def broken():
        yield 1
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(stage(broken()))


def test_an_early_end_ends_everything():
    before = threading.active_count()
    closed = []

    def endless():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    items = ordered_parallel_map(lambda number: number, prefetch(prefetch(endless(), 2), 2), 2)
    assert next(items) == 1
    items.close()
    assert closed == [True]
    assert threading.active_count() == before
