"""What the simulator reads from the environment."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from lifecycle import ProcessSettings


class Settings(ProcessSettings):
    """Every setting has a default: without any, it is a first-generation Offers MS that forgets when it stops."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8010
    """0 takes any free port."""
    offers_refresh_token: str | None = None
    """Where it is set, the second generation is spoken and this is its one account's refresh token."""
    simulator_path_prefix: Annotated[str, StringConstraints(pattern=r"^(/[\w.-]+)+$")] = "/api/v1"
    simulator_seed: int = 1
    simulator_tick_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    """How long every price holds."""
    simulator_steady_offers: Annotated[int, Field(gt=0, le=16)] | None = None
    """Set: every product always has so many offers, and every price moves at each tick, as benchmarks want it."""
    simulator_token_seconds: Annotated[int, Field(gt=0)] = 300
    """How long an access token of the second generation lives."""
    simulator_state: Path | None = None
    """The file that keeps tokens and registered products over restarts; unset keeps them in memory only."""
    simulator_ledger_calls: Annotated[int, Field(gt=0)] = 1_000_000
    """How many calls the ledger remembers, at about 30 bytes each."""

    @property
    def generation(self) -> Literal[1, 2]:
        """Which Offers MS this is."""
        return 1 if self.offers_refresh_token is None else 2
