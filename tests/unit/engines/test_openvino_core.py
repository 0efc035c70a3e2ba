from __future__ import annotations

import ctypes
import gc
import signal
import sys
import threading

import pytest

from omnivec2.engines.openvino_core import make_core


class _SignalStack(ctypes.Structure):
    """``stack_t`` of <signal.h>."""

    _fields_ = (
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


def signal_stack() -> tuple[int | None, int, int]:
    """Return where this thread's signals are handled, if not on its own stack."""
    found = _SignalStack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found)) == 0
    return found.address, found.flags, found.size


def test_signals_are_handled_though_another_thread_ended_the_core() -> None:
    before = signal_stack()
    cores = [make_core()]
    assert signal_stack() == before

    def end() -> None:
        cores.clear()
        gc.collect()

    thread = threading.Thread(target=end)
    thread.start()
    thread.join()
    assert signal_stack() == before
    handled: list[int] = []
    previous = signal.signal(signal.SIGUSR1, lambda number, _: handled.append(number))
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert handled == [signal.SIGUSR1]


def test_a_core_computes_on_the_cpu() -> None:
    assert "FP32" in make_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_openvino_that_is_not_installed_is_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError):
        make_core()
