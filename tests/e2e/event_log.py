"""The log of a running stack, deleted under it."""

import aio_pika

from aggregator_contracts.topology import EXCHANGE, LOG
from devstack.stack import Stack
from event_bus.topology import QUEUES


async def make_log_anew(stack: Stack) -> None:
    """Delete the log, and declare it as it is to be: it is empty, and counts from 0."""
    async with await aio_pika.connect(stack.description()["rabbitmq_url"]) as connection:
        channel = await connection.channel()
        await channel.queue_delete(LOG)
        [log] = [queue for queue in QUEUES if queue.name == LOG]
        queue = await channel.declare_queue(LOG, durable=True, arguments={**log.arguments})
        await queue.bind(EXCHANGE, "#")
