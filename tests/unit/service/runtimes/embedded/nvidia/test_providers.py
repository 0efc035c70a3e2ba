from __future__ import annotations

import logging

import pytest

from omnivec2.errors import ArtifactError
from service.runtimes.embedded.nvidia.gpu_library import CPU, CUDA, TENSORRT
from service.runtimes.embedded.nvidia.providers import check_providers, find_providers
from tests.support.service_parts.pretend_gpus import L4, T4, PretendLibrary, PretendSession, visible


def test_float32_is_computed_by_cuda_and_less_by_tensorrt_first() -> None:
    found = find_providers(PretendLibrary(), visible(L4))
    assert found.order("fp32") == (CUDA, CPU)
    assert found.order("bf16") == found.order("int8") == (TENSORRT, CUDA, CPU)
    assert found.unusable == {}


def test_precisions_are_those_that_every_visible_gpu_has() -> None:
    found = find_providers(PretendLibrary(), visible(L4))
    assert found.precisions([L4]) == ("fp32", "bf16", "int8")
    assert found.precisions([L4, T4]) == ("fp32", "int8")


def test_without_tensorrt_float32_is_left_and_the_reason_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    library = PretendLibrary([CUDA, CPU], missing="libnvinfer.so.10")
    with caplog.at_level(logging.INFO):
        found = find_providers(library, visible(L4))
    assert found.precisions([L4]) == ("fp32",)
    assert found.order("bf16") == (CUDA, CPU)
    assert "TensorrtExecutionProvider is not used: libnvinfer.so.10 is missing" in caplog.text


def test_a_provider_that_raises_is_unusable_with_its_own_words_or_the_missing_library() -> None:
    wrong = (TENSORRT, "Please install TensorRT libraries")
    found = find_providers(PretendLibrary(raises=wrong), visible(L4))
    assert "Please install TensorRT libraries" in found.unusable[TENSORRT]
    found = find_providers(PretendLibrary(raises=wrong, missing="libcudnn.so.9"), visible(L4))
    assert found.unusable == {TENSORRT: "libcudnn.so.9 is missing"}


def test_a_library_that_was_built_without_a_provider_says_so() -> None:
    found = find_providers(PretendLibrary(built_in=[CUDA, CPU]), visible(L4))
    reason = "ONNX Runtime (1.31.1, CUDA 13.0) was built without it"
    assert found.unusable == {TENSORRT: reason}


@pytest.mark.parametrize(
    ("library", "message"),
    [
        (
            PretendLibrary([CPU], missing="libcublasLt.so.13"),
            r"CUDA 13\.0\) cannot use GPU 0 \(NVIDIA L4.*driver 13\.0: libcublasLt\.so\.13 is "
            r"missing; `pip install 'onnxruntime-gpu\[cuda,cudnn\]'`",
        ),
        (PretendLibrary([CPU]), "it could not be started"),
        (PretendLibrary(fault="share one module"), "cannot use GPU 0 .*: share one module"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_an_error_that_says_what_to_do(
    library: PretendLibrary, message: str
) -> None:
    with pytest.raises(ArtifactError, match=message):
        find_providers(library, visible(L4))


def test_a_session_that_fell_back_to_the_cpu_is_refused() -> None:
    fallen = PretendSession(None, [CPU])
    with pytest.raises(ArtifactError, match=r"trunk: .* on CPUExecutionProvider only: CUDAExec"):
        check_providers(fallen, [CUDA, CPU], "trunk")
    check_providers(PretendSession(None, [CUDA, CPU]), [CUDA, CPU], "trunk")
