"""`python -m offers_simulator` is the `offers-simulator` command."""

from offers_simulator.cli import app

app(prog_name="offers-simulator")
