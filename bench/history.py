"""What stands in price history, as its API tells."""

import time
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from bench.system import System
from devstack import loopback_http

WORKER: Final = "price-history-work"
#: A worker that uses less of a core over so many seconds has nothing to do; what rolls up looks for work every five.
BUSY: Final = 0.05
LOOK_SECONDS: Final = 7.0
MOST_SECONDS: Final = 1800.0


def trend_url(base_url: str, product_id: UUID | str, **parameters: str) -> str:
    """The address of a product's trend."""
    return f"{base_url}/api/v1/products/{product_id}/trend?{urlencode(parameters)}"


def stored(system: System, product_id: UUID, at: datetime) -> bool:
    """Whether a price that began at this moment stands in the product's trend."""
    around = {"from": (at - timedelta(seconds=1)).isoformat(), "to": (at + timedelta(seconds=1)).isoformat()}
    url = trend_url(system.price_history_url, product_id, resolution="raw", **around)
    try:
        points = loopback_http.call("GET", url)["points"]
    except OSError:  # 404 before the product's first price
        return False
    return any(datetime.fromisoformat(point["at"]) == at for point in points)


def resting(system: System) -> None:
    """Wait until the worker has nothing to do any more, such as rollups that follow what was recorded."""
    used = system.cpu_of(WORKER)

    def rests() -> bool:
        nonlocal used
        time.sleep(LOOK_SECONDS)
        before, used = used, system.cpu_of(WORKER)
        return used - before < BUSY * LOOK_SECONDS

    system.until(rests, MOST_SECONDS, f"{WORKER} rests")
