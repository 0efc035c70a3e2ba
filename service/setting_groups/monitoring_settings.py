"""Feedback, drift, and the log of payloads."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from service.setting_groups.base import Names, SettingGroup


class MonitoringSettings(SettingGroup):
    """Feedback, drift, and the log of payloads."""

    feedback_answers: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Recent answers that are remembered, so that ``POST /feedback/{request_id}`` can compare \
them with true labels; 0 turns feedback off."""

    feedback_seconds: Annotated[float, Field(gt=0, le=7 * 86_400)] = 86_400.0
    """Time for which an answer is remembered, if not too many come after it."""

    drift_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the requests whose inputs and scores are compared with what their head was \
validated on; 0 turns drift off."""

    drift_window: Annotated[int, Field(ge=20, le=800)] = 200
    """Sampled inputs of a head that are compared at once, the last ones."""

    payload_log: str = ""
    """File, or ``http://`` or ``https://`` address, that a share of the requests and all feedback \
go to as CloudEvents; empty for none. Several processes write a file each."""

    payload_log_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the requests that are logged there."""

    payload_log_heads: Names = ()
    """Heads whose requests are logged (``image/classification,text/sentiment``); empty for all."""

    payload_log_inputs: bool = False
    """Whether inputs are logged, too; by default they are not."""

    payload_log_max_bytes: Annotated[int, Field(ge=0, le=16 * 2**20)] = 64 * 2**10
    """Most bytes of the inputs, and of the answer, of a logged request; what is longer is left \
out, and its size stands for it."""

    payload_log_redact: Annotated[tuple[str, ...], NoDecode] = ()
    """What is redacted, as a JSON list: pointers into an event's ``data`` \
(``/inputs/*/value/email``) and regular expressions, whose matches are replaced in all strings and \
numbers."""

    payload_log_hook: str = ""
    """Redaction of your own, ``module:function``: it gets an event and returns it, or None to \
withhold it."""

    payload_log_authorization: SecretStr | None = None
    """Header ``Authorization`` of the requests to an address, as ``Bearer ...``."""

    payload_log_queue: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Events that may wait to be written; more are dropped, and counted."""

    payload_log_file_bytes: Annotated[int, Field(ge=2**16)] = 64 * 2**20
    """Size at which the file is rotated."""

    payload_log_files_kept: Annotated[int, Field(ge=0, le=1000)] = 5
    """Rotated files that are kept."""

    @field_validator("payload_log_redact", mode="before")
    @classmethod
    def _parse_rules(cls, value: object) -> object:
        """Parse a list that the environment writes as JSON, as patterns may hold commas."""
        if not isinstance(value, str):
            return value
        if not value.strip():
            return ()
        try:
            parsed: object = json.loads(value)
        except ValueError:
            parsed = None
        if not isinstance(parsed, list):
            raise ValueError('expected a JSON list, as in ["/inputs/*/value/email", "[0-9]{16}"]')
        return tuple(parsed)
