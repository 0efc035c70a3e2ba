from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import omnivec2

STUB = Path(omnivec2.__file__).with_suffix(".pyi")
HEAVY = {"torch", "onnxruntime", "openvino", "fastapi", "numpy", "pydantic", "httpx2", "rich"}


def test_importing_omnivec2_imports_nothing_else():
    code = f"import sys, omnivec2; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", omnivec2.__all__)
def test_a_name_of_the_api_can_be_used(name: str):
    assert getattr(omnivec2, name) is not None
    assert name in dir(omnivec2)


def test_the_stub_has_the_types_of_all_names():
    text = STUB.read_text()
    named = set(re.findall(r" as (\w+)$", text, flags=re.MULTILINE)) | {"__version__"}
    assert named == set(omnivec2.__all__)
    for module, name in re.findall(r"^from (\S+) import (\w+) as", text, flags=re.MULTILINE):
        assert omnivec2._API[name] == module


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = omnivec2.lod  # type: ignore[attr-defined]


def test_the_api_is_free_of_torch():
    code = "import sys, omnivec2; omnivec2.load, omnivec2.Client; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
