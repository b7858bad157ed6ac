"""Settings come from the environment only; what is missing or malformed stops the process with one clear line."""

import sys
from typing import Literal, TypeVar

from pydantic import ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class ProcessSettings(BaseSettings):
    """What every process of ours reads from the environment."""

    # An empty variable counts as unset: Compose passes those on for every setting that nobody gave.
    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, hide_input_in_errors=True)

    log_level: str = "INFO"
    log_format: Literal["console", "json"] | None = None
    """None means `console` on a terminal, else `json`."""

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, level: str) -> str:
        if level.upper() not in LOG_LEVELS:
            raise ValueError(f"must be one of {', '.join(LOG_LEVELS)}")
        return level.upper()


S = TypeVar("S", bound=ProcessSettings)


def load_settings(cls: type[S]) -> S:
    """The settings from the environment; prints one line that names each bad one and exits with code 2 otherwise."""
    try:
        return cls()
    except ValidationError as error:
        problems = (
            f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors(include_url=False, include_input=False)
        )
        sys.stderr.write(f"settings: {'; '.join(problems)}\n")
        raise SystemExit(2) from None
