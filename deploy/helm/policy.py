"""Checkov's findings on rendered manifests, without those that are accepted for a reason."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from deploy.compose.container_engine import VerifyError

ACCEPTED: Mapping[tuple[str, str], str] = {
    ("CKV_K8S_8", "Pod"): "the pod of `helm test` runs once and ends; nothing would ask its probe",
    ("CKV_K8S_9", "Pod"): "the pod of `helm test` serves nobody",
    ("CKV_K8S_35", "Pod"): "the test's API key is read once, by one process without children",
    ("CKV_K8S_35", "Deployment"): "settings are environment variables; keys of clients are a file",
    ("CKV_K8S_35", "StatefulSet"): "Triton takes the credentials of buckets from variables only",
}
"""(check, kind) -> the reason for which its findings are accepted."""
_SECONDS = 300


def check_policies(program: Path, folder: Path) -> str:
    """Run Checkov on a folder of manifests.

    Args:
        program: The path of Checkov's command.
        folder: The folder.

    Returns:
        The number of checks that passed and of findings that are accepted, in words.

    Raises:
        VerifyError: There is a finding that is not accepted, or nothing was checked.
    """
    options = ["--framework", "kubernetes", "--output", "json", "--quiet", "--skip-download"]
    # It passes over folders below hidden ones, hence from within. Its exit status is 1 also for
    # findings that are accepted here.
    done = subprocess.run(
        [program.absolute(), "--directory", ".", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    try:
        report = json.loads(done.stdout)
        passed, findings = report["summary"]["passed"], report["results"]["failed_checks"]
    except (ValueError, LookupError, TypeError) as error:
        raise VerifyError(f"checkov gave no report: {done.stderr[-1000:]}") from error
    if not passed:
        raise VerifyError("checkov checked nothing")
    refused = [
        f"{found['check_id']} {found['check_name']}: {found['resource']} in {found['file_path']}"
        for found in findings
        if (found["check_id"], found["resource"].partition(".")[0]) not in ACCEPTED
    ]
    if refused:
        raise VerifyError(f"{len(refused)} findings: " + "; ".join(refused[:10]))
    return f"{passed} checks passed, {len(findings)} findings accepted"
