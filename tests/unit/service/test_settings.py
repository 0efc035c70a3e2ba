from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_by_default_only_this_machine_is_answered() -> None:
    assert (Settings().host, Settings().port) == ("127.0.0.1", 8080)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNIVEC2_PORT", "9000")
    monkeypatch.setenv("OMNIVEC2_MODEL_REPO", "/models")
    monkeypatch.setenv("OMNIVEC2_ONLY", "text/sentiment, image/classification")
    settings = Settings()
    assert (settings.port, settings.model_repo) == (9000, Path("/models"))
    assert settings.only == ("text/sentiment", "image/classification")


def test_triton_servers_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNIVEC2_TRITON_ENDPOINTS", "a:8001, b:8001")
    assert Settings().triton_endpoints == ("a:8001", "b:8001")
    with pytest.raises(ValidationError):
        Settings(triton_endpoints=())


def test_zero_threads_are_one_per_core() -> None:
    assert Settings(inference_threads=0).inference_workers >= 1
    assert Settings(inference_threads=3).inference_workers == 3
    assert Settings(host_threads=3).host_workers == 3


def test_a_wrong_setting_is_refused() -> None:
    with pytest.raises(ValidationError):
        Settings(port=70_000)


def test_what_was_measured_is_kept_in_the_home_directory_or_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMNIVEC2_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings().cache_directory == tmp_path / ".cache" / "omnivec2"
    assert Settings(cache_dir=tmp_path / "here").cache_directory == tmp_path / "here"

    def homeless(_: Path) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(Path, "expanduser", homeless)
    assert Settings().cache_directory.name == "omnivec2"


def test_rules_of_redaction_are_a_list_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings(payload_log_redact=("a", "b")).payload_log_redact == ("a", "b")
    monkeypatch.setenv("OMNIVEC2_PAYLOAD_LOG_REDACT", '["/a", "[0-9]{2,3}"]')
    assert Settings().payload_log_redact == ("/a", "[0-9]{2,3}")
    monkeypatch.setenv("OMNIVEC2_PAYLOAD_LOG_REDACT", "")
    assert Settings().payload_log_redact == ()
    for wrong in ("[0-9]", "/a,/b", '{"a": 1}', "[1]"):
        monkeypatch.setenv("OMNIVEC2_PAYLOAD_LOG_REDACT", wrong)
        with pytest.raises(ValidationError, match=r"JSON list|valid string"):
            Settings()
