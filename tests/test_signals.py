"""Signals become an event, however many come and however fast."""

import signal

import pytest

from recolor_cli.commands.signals import Stop, signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_in_the_middle_of_the_first_does_not_wait_for_it(monkeypatch, number):
    real, calls = Stop.set, []

    def set_and_be_interrupted(self):
        calls.append("set")
        if len(calls) == 1:
            signal.raise_signal(number)
        real(self)

    monkeypatch.setattr(Stop, "set", set_and_be_interrupted)
    before = signal.getsignal(number)
    with signals((number,)) as stop:
        signal.raise_signal(number)
    signal.signal(number, before)  # the process was about to exit, and ignores it
    assert stop.is_set()
    assert stop.signal == number
    assert calls == ["set"]


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with signals((signal.SIGTERM,)):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
