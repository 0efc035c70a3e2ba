"""The settings of the gateway, read from the environment or the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from service.setting_groups.connection_settings import ConnectionSettings
from service.setting_groups.job_settings import JobSettings
from service.setting_groups.model_settings import ModelSettings
from service.setting_groups.monitoring_settings import MonitoringSettings
from service.setting_groups.request_settings import RequestSettings
from service.setting_groups.work_settings import WorkSettings


class Settings(
    # Fields come in the order of the last base first, in documents as well.
    ConnectionSettings,
    JobSettings,
    MonitoringSettings,
    RequestSettings,
    WorkSettings,
    ModelSettings,
):
    """The settings, read from ``OMNIVEC2_<FIELD>``; for example ``OMNIVEC2_PORT=9000``."""

    @model_validator(mode="after")
    def _check_cache(self) -> Self:
        """Refuse to keep answers of models whose replacement nobody would notice."""
        if self.response_cache_mib and self.runtime == "triton" and not self.refresh_seconds:
            raise ValueError(
                "response_cache_mib needs refresh_seconds over 0: answers of heads that were "
                "replaced in Triton would be given for ever"
            )
        return self

    @property
    def jobs_directory(self) -> Path:
        """``jobs_dir``, with its default."""
        return self.jobs_dir or self.cache_directory / "jobs"
