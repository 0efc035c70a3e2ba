"""The NVIDIA GPUs that this process may use, as the driver lists them.

The driver applies ``CUDA_VISIBLE_DEVICES`` and ``CUDA_DEVICE_ORDER``, so an index here is the
``device_id`` of ONNX Runtime. ``nvidia-smi`` would list all GPUs, in another order.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_DRIVER = "libcuda.so.1"
_NAME_BYTES = 256
_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR (cuda.h)."""

_MEANINGS = {
    100: "it sees no GPU; CUDA_VISIBLE_DEVICES may hide them",
    803: "the kernel's module and the library are of different versions; restart the machine",
    804: "the library is newer than this GPU's driver allows",
    999: "the GPU does not answer",
}
"""The statuses of cuInit (cuda.h) that a user can do something about."""


@dataclass(frozen=True)
class CudaDevice:
    """A GPU.

    Attributes:
        index: The index among the visible GPUs.
        name: The name of the product.
        compute_capability: The version of its instruction set: (8, 0) is Ampere.
        memory_bytes: The size of its memory.
    """

    index: int
    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int

    @property
    def label(self) -> str:
        """The name for logs: ``GPU 0 (NVIDIA L4, compute capability 8.9)``."""
        major, minor = self.compute_capability
        return f"GPU {self.index} ({self.name}, compute capability {major}.{minor})"


@dataclass(frozen=True)
class CudaDevices:
    """The visible GPUs.

    Attributes:
        devices: The GPUs, by index.
        driver: The newest CUDA that the driver supports (``13.0``); empty without a driver.
        reason: The reason why there are none; empty if there are some.
    """

    devices: tuple[CudaDevice, ...] = ()
    driver: str = ""
    reason: str = ""


def list_cuda_devices(load_library: Callable[[str], Any] = ctypes.CDLL) -> CudaDevices:
    """List the GPUs that this process may use. Never fails: without a GPU there is a reason.

    Args:
        load_library: A function that loads the driver's library.
    """
    try:
        driver = load_library(_DRIVER)
    except OSError:
        return CudaDevices(reason=f"there is no NVIDIA driver: {_DRIVER} cannot be loaded")
    if status := driver.cuInit(0):
        meaning = _MEANINGS.get(status, f"cuInit answers {status}")
        return CudaDevices(reason=f"the NVIDIA driver cannot be used: {meaning}")
    version, count = ctypes.c_int(), ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    driver.cuDeviceGetCount(ctypes.byref(count))
    devices = tuple(_describe(driver, index) for index in range(count.value))
    reason = "" if devices else f"the NVIDIA driver cannot be used: {_MEANINGS[100]}"
    return CudaDevices(devices, f"{version.value // 1000}.{version.value % 1000 // 10}", reason)


def _describe(driver: Any, index: int) -> CudaDevice:
    handle, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    memory = ctypes.c_size_t()
    name = ctypes.create_string_buffer(_NAME_BYTES)
    driver.cuDeviceGet(ctypes.byref(handle), index)
    driver.cuDeviceGetName(name, _NAME_BYTES, handle)
    for value, attribute in (
        (major, _COMPUTE_CAPABILITY_MAJOR),
        (minor, _COMPUTE_CAPABILITY_MINOR),
    ):
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, handle)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
    text = name.value.decode(errors="replace")
    return CudaDevice(index, text, (major.value, minor.value), memory.value)
