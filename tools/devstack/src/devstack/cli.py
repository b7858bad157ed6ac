"""The command `devstack run`: the stack in the foreground, as `make run` has it."""

import ctypes
import os
import signal
import sys
from typing import Annotated, Final

import typer

from devstack import api_access, demo
from devstack.child import ProcessDied
from devstack.console import Console, Interrupted, Interruption
from devstack.folder import FolderUnusable
from devstack.leash import PR_SET_PDEATHSIG
from devstack.part import NotReady
from devstack.postgresql import WrongDataVersion
from devstack.rabbitmq_installation import RabbitMissing
from devstack.settings import DEMO_POLL_SECONDS, SettingError, StackSettings
from devstack.stack import Stack
from devstack.supervision import Supervisor

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

# What can be told in words; anything else is a defect of ours, and shows its traceback.
EXPECTED: Final = (FolderUnusable, NotReady, OSError, ProcessDied, RabbitMissing, SettingError, WrongDataVersion)


@app.callback()
def devstack() -> None:
    """Runs the whole system on one machine from real parts."""


@app.command()
def run(
    *, with_parent: Annotated[bool, typer.Option(help="Stop when the process that started this one dies.")] = False
) -> None:
    """Run the stack until Ctrl-C or SIGTERM; its environment variables are those of `make run`."""
    console, interruption = Console(), Interruption()
    if with_parent and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    try:
        settings = StackSettings.from_environment(os.environ)
    except SettingError as error:
        console.fail(str(error))
        raise typer.Exit(2) from None
    stack = Stack(settings, say=console.say, interrupted=interruption.check)
    try:
        console.say(f"a stack in {stack.folder.path}")
        stack.start()
        console.welcome(stack, sample_product=fill_catalog(stack, console))
        Supervisor(stack, say=console.say, restart=settings.restart).watch(interruption.check)
    except Interrupted:
        console.say("stopping")
    except EXPECTED as error:
        console.fail(str(error))
        raise typer.Exit(2 if isinstance(error, SettingError) else 1) from None
    finally:
        stack.stop()
        if stack.parts:
            console.say(f"stopped; the data stays in {stack.folder.path}")


def fill_catalog(stack: Stack, console: Console) -> str | None:
    """Create the sample catalog where the demo is wanted; returns a product to show, if there is one."""
    url, headers = stack.description()["catalog_url"], api_access.bearer(stack.api_token)
    if stack.settings.demo and (created := demo.fill_empty_catalog(url, headers)):
        console.say(f"a sample catalog of {created} products is in place (DEMO=0 leaves it empty)")
    if stack.settings.hastened:
        console.say(
            f"offers are polled, and the simulator's prices change, every {DEMO_POLL_SECONDS} s, so that something "
            "moves; OFFERS_POLL_INTERVAL_SECONDS=60 gives the usual minute"
        )
    return demo.first_product(url, headers)
