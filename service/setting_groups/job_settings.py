"""Long work that is kept as jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from service.setting_groups.base import Names, SettingGroup


class JobSettings(SettingGroup):
    """Long work that is kept as jobs."""

    jobs_store: Literal["none", "sqlite", "redis"] = "none"
    """Where long work is kept as jobs (``Prefer: respond-async``): ``redis`` is the store of \
``shared_state_url``, ``sqlite`` a file for the gateways of one machine; without one it is off."""

    jobs_dir: Path | None = None
    """Directory of that file and of the bodies of jobs; ``jobs`` in ``cache_dir`` by default."""

    jobs_concurrency: Annotated[int, Field(ge=1)] = 1
    """Jobs that a process works on at the same time, with what requests leave over."""

    jobs_max_queued: Annotated[int, Field(ge=1)] = 1000
    """Jobs that may wait or run; beyond it, jobs are answered 429."""

    jobs_max_queued_per_key: Annotated[int, Field(ge=1)] = 100
    """The same for the jobs of one API key."""

    jobs_max_body_bytes: Annotated[int, Field(ge=1)] = 2**30
    """Largest body of a job."""

    jobs_max_stored_bytes: Annotated[int, Field(ge=1)] = 4 * 2**30
    """Bytes of the bodies of all jobs that wait or run; beyond it, jobs are answered 429."""

    jobs_max_recording_seconds: Annotated[float, Field(gt=0)] = 4 * 3600.0
    """Longest sound or video of a job."""

    jobs_limits_factor: Annotated[float, Field(ge=1)] = 4.0
    """Factor by which limits on bytes, pixels, rows, points and frames are wider for jobs."""

    jobs_timeout_seconds: Annotated[float, Field(gt=0)] = 3600.0
    """Longest time that a gateway works on a job."""

    jobs_upload_seconds: Annotated[float, Field(gt=0)] = 600.0
    """Time in which the body of a job must arrive."""

    jobs_keep_seconds: Annotated[float, Field(gt=0)] = 24 * 3600.0
    """Time after which a job is forgotten; it begins anew when the job ends."""

    jobs_lease_seconds: Annotated[float, Field(ge=1)] = 15.0
    """Time after which a job is taken from a gateway that has died."""

    jobs_webhook_hosts: Names = ()
    """Hosts that may be told of the end of jobs (``hooks.example,127.0.0.1``), and private \
networks in which they may be (``10.0.0.0/8``); empty allows none."""

    jobs_webhook_secret: SecretStr | None = None
    """Secret that webhooks are signed with: ``whsec_`` and base64, or any text."""
