"""Lists, sets and dictionaries of millions of names."""

import random
import tracemalloc

import pytest

from recolor_cli.batch.job import Job
from recolor_cli.errors import InputError
from recolor_cli.system.compact import CompactList, HashedNumbers, HashedSet, sorted_compactly


def name(number):
    return f"s3://archive/posters/{number // 1000:04}/{number:07}.jpg"


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
def test_a_list_has_its_items_in_their_order(count):
    items = CompactList(map(name, range(count)))
    assert list(items) == [name(i) for i in range(count)] == [items[i] for i in range(count)]
    assert len(items) == count
    assert items[-1:] == [name(i) for i in range(count)][-1:]
    for index in (count, -count - 1):
        with pytest.raises(IndexError):
            items[index]


def test_jobs_and_their_errors_come_back_as_they_were():
    jobs = [
        Job(name(i), name(i), InputError("m", "h", "c") if i % 2 else None) for i in range(2000)
    ]
    for job, found in zip(jobs, CompactList(jobs), strict=True):
        assert (found.source, found.destination) == (job.source, job.destination)
        kept = found.error
        assert (kept and (kept.message, kept.hint, kept.cause)) == (job.error and ("m", "h", "c"))


@pytest.mark.parametrize("run", [3, 1000, 10**6])
def test_items_are_sorted_in_runs(monkeypatch, run):
    monkeypatch.setattr("recolor_cli.system.compact._RUN", run)
    items = [name(i) for i in range(50)] * 2
    random.Random(1).shuffle(items)
    assert list(sorted_compactly(items)) == sorted(items)


def test_a_set_has_what_was_added_and_nothing_else():
    found, others = HashedSet(), range(100_000, 200_000)
    assert name(1) not in found
    for i in [*range(100_000), *range(10)]:
        found.add(name(i))
    assert all(name(i) in found for i in range(100_000))
    assert not any(name(i) in found for i in others)


def test_members_with_the_hash_of_a_free_place_or_of_each_other_are_found():
    class Same(str):
        __slots__ = ()

        def __hash__(self):
            return 0

    found = HashedSet([*range(-20, 20), Same("a")])
    assert all(i in found for i in range(-20, 20))
    assert 20 not in found
    assert Same("a") in found


def test_numbers_are_those_of_the_first_time():
    numbers = HashedNumbers()
    for i in range(10_000):
        assert numbers.setdefault(name(i), i) == i
    assert [numbers.setdefault(name(i), 7) for i in range(10_000)] == list(range(10_000))
    assert numbers.get(name(9_999), -1) == 9_999
    assert numbers.get(name(10_000), -1) == -1
    assert numbers[name(0)] == 0


def test_twenty_thousand_names_take_less_than_a_tenth_of_a_list():
    tracemalloc.start()
    try:
        names = CompactList(map(name, range(20_000)))
        listed, _ = tracemalloc.get_traced_memory()
        known = HashedSet(map(name, range(20_000)))
        both, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(names) == 20_000
    assert name(5) in known
    assert listed < 0.19e6  # bytes; a list of them takes 1.9e6
    assert both - listed < 0.3e6
