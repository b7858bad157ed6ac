"""What stands in price history, as its API tells."""

from datetime import datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from bench.system import System
from devstack import loopback_http


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
