"""How single requests are answered, logged and admitted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from service.setting_groups.base import SettingGroup


class RequestSettings(SettingGroup):
    """How single requests are answered, logged and admitted."""

    embedding_model: str = "embedding"
    """Model of ``/embed``, and of ``/v1/embeddings`` where a request names none: a task \
(``embedding``, ``retrieval``), of which the type of an input chooses the modality, or one head \
(``text/retrieval``)."""

    request_timeout_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Time from the complete body to the answer; callers may set less (X-Request-Timeout)."""

    response_cache_mib: Annotated[int, Field(ge=0)] = 0
    """Memory for answers that are given again to the same request, in MiB; 0 keeps none. Several \
processes have a share each."""

    response_cache_across_keys: bool = False
    """Whether an answer that one API key was given may be given to another: how soon it comes \
then tells a caller that somebody else sent the same."""

    stream_keep_alive_seconds: Annotated[float, Field(gt=0)] = 10.0
    """Time without an event after which a streamed answer sends a comment, for proxies that close \
idle connections."""

    upload_timeout_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Time in which a body must arrive."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe messages that are logged."""

    log_format: Literal["text", "json"] = "text"
    """``json`` writes an object per line, for log collectors."""

    strict_input: bool = False
    """Whether requests are refused (422) if there are notes on an input: if a part of it was \
guessed, ignored or cut. Callers may ask for it themselves (X-Strict)."""

    access_log: bool = True
    """Whether every request is logged; health checks and metrics are for ``debug`` only."""

    api_keys_file: Path | None = None
    """API keys (``omnivec2 key create``); without such a file no key is required."""

    shared_state_url: SecretStr | None = None
    """Valkey or Redis that several gateways share (``rediss://user:password@host:6379/0``), so \
that the limits of API keys hold over all of them; needs the extra ``shared-state``. Without one, \
every gateway counts for itself."""

    shared_state_timeout_seconds: Annotated[float, Field(gt=0)] = 0.25
    """Longest time that a request waits for it; then it counts as away, and no request waits."""
