"""A small broker for the demo where Mosquitto is not installed: amqtt, loopback only, in its own process.

It speaks MQTT 3.1.1 and redelivers nothing after a lost connection: good enough to look at Vigie,
never for a plant.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys

from amqtt.broker import Broker


async def serve(port: int) -> None:
    """Run until SIGTERM or SIGINT."""
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
            },
        }
    )
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await broker.start()
    await ended.wait()
    with contextlib.suppress(asyncio.CancelledError):  # amqtt cancels its own tasks on the way out
        await broker.shutdown()


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # it reports every closed connection as a warning
    asyncio.run(serve(int(sys.argv[1])))
