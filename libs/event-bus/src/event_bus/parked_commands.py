"""The sub-command `parked` of each service that consumes."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import aio_pika
import typer

from aggregator_contracts.topology import parked_queue
from event_bus.parked import ParkedMessage, ParkedMessages
from lifecycle import BrokerUrls, ProcessSettings, load_settings, run

T = TypeVar("T")
Keys = Annotated[list[str] | None, typer.Argument(help="Keys as `list` shows them.")]
All = Annotated[bool, typer.Option("--all", help="Every parked message.")]


class BrokerSettings(ProcessSettings):
    """What looking at parked messages needs."""

    rabbitmq_url: BrokerUrls


def parked_commands(service: str) -> typer.Typer:
    """`list`, `show`, `replay` and `drop` for the parked queue of `service`."""
    app = typer.Typer(no_args_is_help=True, help="Messages that could not be handled.")

    def do(action: Callable[[ParkedMessages], Coroutine[Any, Any, T]]) -> T:
        return _do(service, action)

    @app.command("list")
    def list_messages(limit: Annotated[int, typer.Option(min=1)] = 100) -> None:
        """List parked messages, oldest first: key, type, the queue that it came from, reason."""
        for parked in do(lambda messages: messages.read(limit)):
            typer.echo(f"{parked.key}\t{parked.type}\t{parked.origin}\t{parked.reason}")

    @app.command()
    def show(key: str) -> None:
        """Print one parked message as it came."""
        found = [parked for parked in do(lambda messages: messages.read()) if parked.key == key]
        if not found:
            raise typer.BadParameter(f"no parked message {key}")
        typer.echo(found[0].body.decode(errors="backslashreplace"))

    @app.command()
    def replay(keys: Keys = None, all_: All = False) -> None:  # noqa: FBT002 - typer's form of an option
        """Send parked messages back to the queues that they came from."""
        typer.echo(f"{do(lambda messages: messages.replay(_chosen(keys, all_)))} replayed")

    @app.command()
    def drop(keys: Keys = None, all_: All = False) -> None:  # noqa: FBT002 - typer's form of an option
        """Throw parked messages away for ever."""
        typer.echo(f"{do(lambda messages: messages.drop(_chosen(keys, all_)))} dropped")

    return app


def _do(service: str, action: Callable[[ParkedMessages], Coroutine[Any, Any, T]]) -> T:
    messages = ParkedMessages(load_settings(BrokerSettings).rabbitmq_url, service)
    results: list[T] = []

    async def act() -> None:
        results.append(await action(messages))

    try:
        run(act())
    except (aio_pika.exceptions.AMQPException, OSError) as error:
        typer.echo(f"{service}: the broker does not answer, or has no queue {parked_queue(service)}: {error}", err=True)
        raise typer.Exit(1) from None
    return results[0]


def _chosen(keys: list[str] | None, every: bool) -> Callable[[ParkedMessage], bool]:  # noqa: FBT001 - typer's value
    if every == bool(keys):
        raise typer.BadParameter("name keys, or give --all")
    wanted = set(keys or ())
    return lambda parked: every or parked.key in wanted
