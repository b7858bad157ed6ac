"""A small sample catalog, so that a newcomer sees offers and trends at once.

`python -m devstack.demo URL` fills the catalog there; needs nothing but Python.
"""

import sys
from collections.abc import Mapping
from typing import Final

from devstack import loopback_http

SAMPLE: Final = (
    ("Benzinová sekačka Dosquarna", "Nejlepší sekačka na trhu: 46 cm záběr, motor 2,6 kW, koš na 60 l."),
    ("Espresso machine Bruna 2", "Two boilers, a rotary pump, and a group that stays at 93 °C."),
    ("City bicycle Vltava", "Seven gears in the hub, mudguards, a rack, and lights that run off a dynamo."),
    ("Noise-cancelling headphones Ticho", "Thirty hours on one charge; folds flat; wired mode for flights."),
    ("Standing desk Strom", "Solid oak, 160 by 80 cm, two motors, from 62 to 128 cm."),
    ("Trail running shoes Kamzík", "Drop of 6 mm, sticky rubber, drains in a minute."),
    ("Cast-iron pan 28 cm", "Pre-seasoned, with a helper handle, for any hob and for the oven."),
    ("Mechanical keyboard Klapka", "Tactile switches, hot-swap sockets, ISO layout, USB-C."),
    ("Air purifier Bříza", "Clears a room of 40 m² in half an hour; filter lasts a year."),
    ("Camping tent Bivak 3", "Three people, two entrances, 2.4 kg, withstands 5,000 mm of water."),
    ("Electric kettle Pára", "1.2 litres, steps from 60 to 100 °C, keeps warm for an hour."),
    ("Board game Osadníci", "Three to four players, about ninety minutes, new each time."),
)


def fill_empty_catalog(catalog_url: str, headers: Mapping[str, str]) -> int:
    """Create the sample products where there is no product at all; returns how many. Raises OSError."""
    if first_product(catalog_url, headers) is not None:
        return 0
    items = [{"name": name, "description": description} for name, description in SAMPLE]
    answer = loopback_http.call("POST", f"{catalog_url}/api/v1/products/batch", {"items": items}, headers=headers)
    return sum(result["status"] == 201 for result in answer["results"])  # noqa: PLR2004 - HTTP's "created"


def first_product(catalog_url: str, headers: Mapping[str, str]) -> str | None:
    """The id of the oldest product; None for an empty catalog. Raises OSError."""
    items = loopback_http.call("GET", f"{catalog_url}/api/v1/products?limit=1", headers=headers)["items"]
    return items[0]["id"] if items else None


if __name__ == "__main__":
    fill_empty_catalog(sys.argv[1], {})
