"""The driver is replaced by one of the same C functions."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from service.runtimes.embedded.nvidia.cuda_devices import (
    CudaDevice,
    CudaDevices,
    list_cuda_devices,
)


class Driver:
    """The functions of libcuda that are called, as ctypes calls them."""

    def __init__(self, names: list[str], status: int = 0) -> None:
        self.names = names
        self.status = status

    def cuInit(self, flags: int) -> int:
        return self.status

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = 13010
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = len(self.names)
        return 0

    def cuDeviceGet(self, handle: Any, index: int) -> int:
        handle._obj.value = index
        return 0

    def cuDeviceGetName(self, text: Any, size: int, handle: ctypes.c_int) -> int:
        text.value = self.names[handle.value].encode()
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, handle: Any) -> int:
        value._obj.value = {75: 9, 76: 0}[attribute]
        return 0

    def cuDeviceTotalMem_v2(self, value: Any, handle: Any) -> int:
        value._obj.value = 2**34
        return 0


def test_gpus_are_listed_in_the_order_of_the_driver_with_what_they_can_do() -> None:
    found = list_cuda_devices(lambda _: Driver(["NVIDIA H200", "NVIDIA L4"]))
    assert found == CudaDevices(
        (CudaDevice(0, "NVIDIA H200", (9, 0), 2**34), CudaDevice(1, "NVIDIA L4", (9, 0), 2**34)),
        "13.1",
    )
    assert found.devices[1].label == "GPU 1 (NVIDIA L4, compute capability 9.0)"


def test_a_machine_without_a_driver_has_no_gpus_and_says_so() -> None:
    def load(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    found = list_cuda_devices(load)
    assert (found.devices, found.driver) == ((), "")
    assert found.reason == "there is no NVIDIA driver: libcuda.so.1 cannot be loaded"


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        (Driver([], 100), "CUDA_VISIBLE_DEVICES may hide them"),
        (Driver([]), "CUDA_VISIBLE_DEVICES may hide them"),
        (Driver(["NVIDIA L4"], 803), "restart the machine"),
        (Driver(["NVIDIA L4"], 35), "cuInit answers 35"),
    ],
)
def test_a_driver_that_offers_no_gpu_is_a_reason(driver: Driver, reason: str) -> None:
    found = list_cuda_devices(lambda _: driver)
    assert found.devices == ()
    assert reason in found.reason


def test_listing_the_gpus_of_this_machine_never_fails() -> None:
    found = list_cuda_devices()
    assert bool(found.devices) != bool(found.reason)
