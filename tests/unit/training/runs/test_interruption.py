"""SIGINT and SIGTERM are noted while a step runs, and stop at once where all is saved."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from omnivec2.training.runs.interruption import Interrupted, Interruption


def _send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_announced(number, capfd):
    before = signal.getsignal(number)
    with Interruption() as interruption:
        assert interruption.number is None
        _send(number)
        assert interruption.number == number
    assert signal.getsignal(number) is before
    assert "saving after this step" in capfd.readouterr().err


def test_a_second_ctrl_c_stops_at_once():
    with Interruption() as interruption:
        _send(signal.SIGTERM)
        _send(signal.SIGTERM)  # patient: a supervisor may send it again
        assert interruption.number == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            _send(signal.SIGINT)


def test_one_of_several_processes_takes_repeated_signals_as_one():
    with Interruption(processes=2) as interruption:
        _send(signal.SIGINT)
        _send(signal.SIGINT)
        with interruption.raising():
            _send(signal.SIGINT)
    assert interruption.number == signal.SIGINT


def test_where_everything_is_saved_a_signal_stops_at_once_with_the_status_of_shells():
    with pytest.raises(Interrupted) as stop, Interruption() as interruption, interruption.raising():
        _send(signal.SIGTERM)
    assert (stop.value.exit_status, stop.value.steps) == (143, None)


def test_outside_of_the_main_thread_no_handler_is_set():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def enter() -> None:
        with Interruption():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]
