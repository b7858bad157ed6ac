"""`python -m devstack` is the `devstack` command."""

from devstack.cli import app

app(prog_name="devstack")
