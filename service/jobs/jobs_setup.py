"""The jobs of a gateway, as its settings say."""

from __future__ import annotations

from collections.abc import Callable

from omnivec2.errors import ArtifactError
from service.access.access_control import AccessControl
from service.admission.admission_control import AdmissionControl
from service.jobs.job_runner import JobRunner
from service.jobs.job_service import JobService
from service.jobs.job_work import JobWork
from service.jobs.stores.job_store import JobStore, StoreLimits
from service.jobs.stores.sqlite_store import SqliteJobStore
from service.jobs.webhook_rules import WebhookRules
from service.jobs.webhooks import Webhooks
from service.monitoring.monitor import Monitor
from service.observability.gateway_metrics import Metrics
from service.pipeline.data_plane import DataPlane
from service.settings import Settings

_WORK = "work"
"""The folder of ``jobs_dir`` for what is only needed while a job is worked on."""


def make_jobs(
    settings: Settings,
    metrics: Metrics,
    plane: Callable[[], DataPlane],
    admission: AdmissionControl,
    access: AccessControl | None,
    monitor: Monitor | None,
) -> JobService:
    """Return the jobs of a gateway whose settings name a store.

    Raises:
        ArtifactError: The settings cannot be used.
    """
    directory = settings.jobs_directory / _WORK
    store = _make_store(settings)
    observed = metrics.add_jobs()
    secret = settings.jobs_webhook_secret
    webhooks = Webhooks(
        WebhookRules(settings.jobs_webhook_hosts),
        secret.get_secret_value() if secret else "",
        observed.observe_webhook,
    )
    runner = JobRunner(
        store,
        JobWork(settings, plane, admission, access, monitor, directory),
        settings.jobs_concurrency,
        settings.jobs_timeout_seconds,
    )
    jobs = JobService(
        store,
        runner,
        webhooks,
        observed,
        directory,
        settings.jobs_max_body_bytes,
        settings.jobs_timeout_seconds,
    )
    watch = metrics.watch
    watch("jobs_queued", "Jobs in the store that wait.", lambda: jobs.counts.queued)
    watch("jobs_running", "Jobs in the store that are worked on.", lambda: jobs.counts.running)
    watch(
        "jobs_oldest_seconds",
        "Age of the oldest job that is not over.",
        lambda: jobs.oldest_seconds,
    )
    return jobs


def _make_store(settings: Settings) -> JobStore:
    limits = StoreLimits(
        settings.jobs_max_queued,
        settings.jobs_max_queued_per_key,
        settings.jobs_max_stored_bytes,
        settings.jobs_keep_seconds,
        settings.jobs_lease_seconds,
    )
    if settings.jobs_store == "sqlite":
        return SqliteJobStore(settings.jobs_directory, limits)
    url = settings.shared_state_url
    if url is None or not url.get_secret_value().strip():
        raise ArtifactError(
            "OMNIVEC2_JOBS_STORE=redis needs the address of the store: OMNIVEC2_SHARED_STATE_URL"
        )
    from service.jobs.stores.redis_store import RedisJobStore

    return RedisJobStore(url.get_secret_value(), settings.jobs_directory / _WORK, limits)
