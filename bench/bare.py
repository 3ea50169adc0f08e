"""The least a webhook can do, as a process: check the signature over raw bytes, answer 200.

`python -m bench.bare SECRET` prints its URL and serves until it is told to stop.
"""

import asyncio
import hashlib
import hmac
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop
from aiohttp import web


@asynccontextmanager
async def baseline(module: str, secret: str) -> AsyncIterator[tuple[str, int]]:
    """URL and process id of a module that serves (`bench.bare`) in a process of its own, for as
    long as the block runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, secret), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip(), process.pid
    finally:
        process.terminate()
        await process.wait()


async def _serve(secret: str) -> None:
    key = secret.encode()

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        given = request.headers.get("X-Hub-Signature-256", "")
        wanted = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
        return web.Response(status=200 if hmac.compare_digest(given, wanted) else 401)

    app = web.Application(client_max_size=3 * 1024 * 1024)
    app.router.add_post("/", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
