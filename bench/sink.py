"""The least an OTLP collector can do, as a process: take everything and keep nothing.

`python -m bench.sink` prints its URL and serves until it is told to stop.
"""

import asyncio
from typing import Any

import grpc
import uvloop


class _Anything(grpc.GenericRpcHandler):
    """Answers every call with an empty message, which is what both of OTLP's answers may be."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        del handler_call_details
        return grpc.unary_unary_rpc_method_handler(_taken)


async def _taken(request: bytes, context: object) -> bytes:
    del request, context
    return b""


async def _serve() -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Anything(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"http://127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve())
