"""The command line: `offers-simulator serve`."""

import sys

import typer

from lifecycle import configure_logging, load_settings, run
from offers_simulator.accounts.journal import JournalError
from offers_simulator.bootstrap import build
from offers_simulator.http.server import serve as serve_http
from offers_simulator.settings import Settings

app = typer.Typer(
    help="A faithful Offers MS that misbehaves on request.", no_args_is_help=True, pretty_exceptions_enable=False
)


@app.callback()
def main() -> None:
    """A faithful Offers MS that misbehaves on request."""


@app.command()
def serve() -> None:
    """Serve until SIGTERM or Ctrl-C. Settings come from the environment, all optional.

    HOST (127.0.0.1), PORT (8010; 0: any free one), OFFERS_REFRESH_TOKEN (unset: generation 1; set: generation 2, with
    this refresh token), SIMULATOR_SEED (1), SIMULATOR_TICK_SECONDS (60), SIMULATOR_STEADY_OFFERS (unset: a walk),
    SIMULATOR_TOKEN_SECONDS (300), SIMULATOR_STATE (unset: in memory), SIMULATOR_LEDGER_CALLS (1000000),
    SIMULATOR_PATH_PREFIX (/api/v1), LOG_LEVEL, LOG_FORMAT.
    """
    settings = load_settings(Settings)
    configure_logging(settings)
    try:
        application = build(settings)
        run(serve_http(application, settings.host, settings.port, settings.simulator_path_prefix))
    except (JournalError, OSError) as error:
        sys.stderr.write(f"offers-simulator: {error}\n")
        raise SystemExit(1) from None
