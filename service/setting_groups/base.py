"""What all groups of settings have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def split_names(value: object) -> object:
    """Split names that the environment separates by commas; code passes a sequence."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_names)]
"""Names, which the environment separates by commas."""


class SettingGroup(BaseSettings):
    """Settings, read from ``OMNIVEC2_<FIELD>``; the description of a field stands below it."""

    model_config = SettingsConfigDict(
        env_prefix="OMNIVEC2_", use_attribute_docstrings=True, frozen=True
    )
