from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from deploy.triton import install_server, run_server
from deploy.triton.install_server import InstallError

_TRITON = "pytriton/tritonserver"


def make_wheel(path: Path, *stubs: str) -> Path:
    """A wheel laid out as NVIDIA's, around files of a few bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{_TRITON}/bin/tritonserver", "server")
        archive.writestr(f"{_TRITON}/backends/python/libtriton_python.so", "library")
        archive.writestr("nvidia_pytriton.libs/libcurl.so", "library")
        for version in stubs:
            name = f"{_TRITON}/python_backend_stubs/{version}/triton_python_backend_stub"
            archive.writestr(name, f"stub for {version}")
    return path


def test_the_launcher_finds_the_server_that_was_unpacked(tmp_path: Path) -> None:
    install_server.install(make_wheel(tmp_path / "a.whl", "3.11", "3.12", "3.13"), tmp_path)
    command = run_server.command(run_server.parse(["--environment", str(tmp_path)]))
    assert os.access(command[0], os.X_OK)
    assert Path(command[0]).read_text() == "server"
    assert f"--backend-directory={tmp_path / 'backends'}" in command
    libraries = Path(run_server.variables(tmp_path, {})["LD_LIBRARY_PATH"])
    assert (libraries / "libcurl.so").exists()


def test_backends_are_tritons_with_the_stub_of_that_python_and_ours(tmp_path: Path) -> None:
    server, backends = tmp_path / "server", tmp_path / "backends"
    with zipfile.ZipFile(make_wheel(tmp_path / "a.whl", "3.11", "3.12")) as archive:
        archive.extractall(server)
    install_server.lay_out_backends(server, backends, (3, 12))
    stub = backends / "python" / "triton_python_backend_stub"
    assert stub.read_text() == "stub for 3.12"
    assert stub.stat().st_mode & stat.S_IXUSR
    assert (backends / "python" / "libtriton_python.so").exists()
    ours = install_server.PROJECT_BACKEND.read_bytes()
    for name in ("onnxruntime", "openvino"):
        assert (backends / name / "model.py").read_bytes() == ours


def test_installing_again_leaves_nothing_of_the_old_layout(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "a.whl", "3.11", "3.12", "3.13")
    install_server.install(wheel, tmp_path)
    for old in ("server/old", "backends/old"):
        (tmp_path / old).mkdir()
    install_server.install(wheel, tmp_path)
    assert not (tmp_path / "server" / "old").exists()
    assert not (tmp_path / "backends" / "old").exists()


def test_a_python_without_a_stub_is_refused_and_those_with_one_are_named(tmp_path: Path) -> None:
    server = tmp_path / "server"
    with zipfile.ZipFile(make_wheel(tmp_path / "a.whl", "3.11", "3.12")) as archive:
        archive.extractall(server)
    with pytest.raises(InstallError, match=r"no stub for Python 3\.99, but 3\.11, 3\.12"):
        install_server.lay_out_backends(server, tmp_path / "backends", (3, 99))


def test_a_file_that_is_no_wheel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"not a zip file")
    with pytest.raises(InstallError, match="not a wheel with a Triton server"):
        install_server.install(tmp_path / "a.whl", tmp_path)


def test_a_wheel_without_a_server_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("pytriton/__init__.py", "")
    with pytest.raises(InstallError, match="not a wheel with a Triton server"):
        install_server.install(tmp_path / "a.whl", tmp_path)


def test_numpy_2_is_refused_because_answers_would_be_empty() -> None:
    install_server.check_numpy("1.26.4")
    with pytest.raises(InstallError, match=r"numpy < 2.*2\.4\.6"):
        install_server.check_numpy("2.4.6")
