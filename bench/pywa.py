"""PyWa's own webhook in FastAPI, as a process: it checks, parses and hands over a status, and
stores nothing.

`python -m bench.pywa SECRET` prints its URL and serves until it is told to stop.
"""

import socket
import sys
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI
from pywa import WhatsApp
from pywa.handlers import MessageStatusHandler
from pywa.types import MessageStatus


async def _serve(secret: str) -> None:
    app = FastAPI()
    whatsapp = WhatsApp(
        phone_id=None,
        token="unused",  # noqa: S106 - nothing is sent
        server=app,
        webhook_endpoint="/webhook",
        verify_token="unused",  # noqa: S106 - nobody asks
        app_secret=secret,
        filter_updates=False,
    )

    def handled(_client: WhatsApp, _status: MessageStatus[Any]) -> None:
        """What a program would do with it."""

    whatsapp.add_handlers(MessageStatusHandler(handled))
    server = uvicorn.Server(
        uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
    )
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/webhook", flush=True)
        await server.serve([listener])


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
