"""Overlapping stages: order, bounds, errors, an early end."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from recolor_cli.system.prefetch import ordered_parallel_map, ordered_results, prefetch


def counted(limit, made):
    for number in range(limit):
        made.append(number)
        yield number


def test_a_thread_makes_items_in_advance_but_not_more_than_told():
    made, enough = [], threading.Event()

    def items():
        for number in counted(100, made):
            if number == 4:
                enough.set()
            yield number

    ahead = prefetch(items(), 4)
    assert next(ahead) == 0
    assert enough.wait(30)  # four are made though nobody asked for them
    for taken, number in enumerate(ahead, 2):
        assert number == taken - 1
        assert len(made) <= taken + 4
    assert len(made) == 100


def test_after_a_stop_comes_what_is_made_and_nothing_is_waited_for():
    stop, waits, never = threading.Event(), threading.Event(), threading.Event()

    def items():
        yield from range(3)
        waits.set()
        never.wait()  # as for a line of a pipe that stays open
        yield 3

    ahead = prefetch(items(), 4, stop)
    assert next(ahead) == 0
    assert waits.wait(30)
    stop.set()
    assert list(ahead) == [1, 2]
    never.set()


def test_a_map_keeps_the_order_and_its_bounds():
    made, running = [], []
    most = 0
    all_at_work = threading.Barrier(3)

    def work(number):
        nonlocal most
        running.append(number)
        most = max(most, len(running))
        if number < 3:
            all_at_work.wait(30)  # three at a time
        running.remove(number)
        return -number

    results = []
    for result in ordered_parallel_map(work, counted(20, made), 3):
        results.append(result)
        assert len(made) <= len(results) + 3
    assert results == [-number for number in range(20)]
    assert most == 3


def test_a_stop_cancels_what_is_not_begun_and_yields_what_is():
    stop, begun, finish = threading.Event(), threading.Event(), threading.Event()

    def work(number):
        begun.set()
        finish.wait(30)
        return number

    with ThreadPoolExecutor(1) as pool:

        def cancel():
            pool.shutdown(wait=False, cancel_futures=True)
            finish.set()

        results = ordered_results(
            lambda number: pool.submit(work, number), range(5), 5, stop, cancel
        )
        threading.Thread(target=lambda: begun.wait(30) and stop.set()).start()
        assert list(results) == [0]


class Late(Future):
    """A future whose result comes right after its time is up."""

    def exception(self, timeout=None):
        if not self.done():
            self.set_result("late")
            raise TimeoutError
        return super().exception(timeout)


def test_a_result_that_comes_right_after_its_time_is_up_is_no_error():
    results = ordered_results(lambda item: Late(), [1], 1, threading.Event(), lambda: None)
    assert list(results) == ["late"]


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
