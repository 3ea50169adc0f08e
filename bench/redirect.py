"""The least a redirect can do, as a process: `python -m bench.redirect` prints its URL."""

import asyncio

import uvloop
from aiohttp import web


async def _serve() -> None:
    async def handle(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "https://shop.example/"})

    app = web.Application()
    app.router.add_get("/l/{token}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve())
