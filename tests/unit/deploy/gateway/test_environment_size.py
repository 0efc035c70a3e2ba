from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution

import pytest

from deploy.gateway import environment_size as module
from deploy.gateway.environment_size import copy_packages, directory_sizes
from deploy.gateway.select_modalities import Pinned


def test_packages_are_copied_without_programs_and_bytecode(tmp_path):
    size = copy_packages(["pytest"], tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert tmp_path / "pytest" / "__init__.py" in files
    assert {path.suffix for path in files}.isdisjoint({".pyc"})
    assert len(files) < len(distribution("pytest").files or ())
    assert size == sum(path.stat().st_size for path in files)


def test_a_package_that_is_not_installed_is_an_error(tmp_path):
    with pytest.raises(PackageNotFoundError):
        copy_packages(["no-such-package"], tmp_path)


def test_bundled_libraries_count_for_their_package(tmp_path):
    for name, size in {"a/x.py": 10, "a.libs/liba.so": 30, "b.py": 20}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(size))
    assert directory_sizes(tmp_path) == [("a", 40), ("b.py", 20)]


@pytest.mark.parametrize(("package", "status"), [("iniconfig", 0), ("no-such-package", 1)])
def test_the_command_prints_sizes_or_what_is_not_installed(capsys, monkeypatch, package, status):
    monkeypatch.setattr(module, "read_lock", lambda _: {package: Pinned("", frozenset())})
    monkeypatch.setattr(sys, "argv", ["environment_size.py", "image,text"])
    assert module.main() == status
    printed = capsys.readouterr()
    expected = "image,text: 1 packages, 0 MB as installed" if status == 0 else "is not installed"
    assert expected in printed.out + printed.err
