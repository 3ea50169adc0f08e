"""Calls that manage: answers of any size, in any pieces, and errors as what they mean."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import web

from chassis.failures import Failure
from services.sender.failures import (
    NumberUnusable,
    PlatformBusy,
    PlatformRefused,
    PlatformUnavailable,
    TemplateExists,
)
from services.sender.outside.cloud_api import CloudApi, cloud_api
from services.sender.posting import Upload

Answering = Callable[[web.Request], Any]


@pytest.fixture
async def graph() -> AsyncIterator[tuple[CloudApi, dict[str, Answering]]]:
    """An API, and what each path of it answers with."""
    pages: dict[str, Answering] = {}

    async def answer(request: web.Request) -> web.StreamResponse:
        found = await pages[request.path.rpartition("/")[2]](request)
        assert isinstance(found, web.StreamResponse)
        return found

    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.add_routes([web.route("*", "/{tail:.*}", answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with cloud_api(url, "v26.0", {"default": "a", "brand": "b"}, 2.0) as opened:
        yield opened, pages
    await runner.cleanup()


async def test_an_answer_in_pieces_is_read_whole(graph: Any) -> None:
    api, pages = graph
    data = {"data": [{"name": "x" * 1_000}] * 300}

    async def pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        body = msgspec.json.encode(data)
        for start in range(0, len(body), 50_000):
            await response.write(body[start : start + 50_000])
            await asyncio.sleep(0)
        return response

    pages["message_templates"] = pieces
    assert await api.manage("GET", "1/message_templates") == data


async def test_a_call_carries_the_token_of_its_credential(graph: Any) -> None:
    api, pages = graph

    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"token": request.headers["Authorization"]})

    pages["me"] = echo
    assert await api.manage("GET", "me") == {"token": "Bearer a"}
    assert await api.manage("GET", "me", credential="brand") == {"token": "Bearer b"}
    with pytest.raises(NumberUnusable):
        await api.manage("GET", "me", credential="nobody")


async def test_an_upload_is_one_form_of_known_length(graph: Any) -> None:
    api, pages = graph
    seen: dict[str, Any] = {}

    async def take(request: web.Request) -> web.Response:
        seen["length"] = request.content_length
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        seen.update(type=form["type"], product=form["messaging_product"])
        seen.update(data=file.file.read(), file_type=file.content_type)
        return web.json_response({"id": "77"})

    async def parts() -> AsyncIterator[bytes]:
        yield b"a" * 1_000
        yield b"\r\n--b" * 100

    pages["media"] = take
    assert await api.upload("1", Upload("image/png", 1_500, parts()), "default", 5) == "77"
    assert seen["data"] == b"a" * 1_000 + b"\r\n--b" * 100
    assert (seen["type"], seen["file_type"], seen["product"]) == (
        "image/png",
        "image/png",
        "whatsapp",
    )
    assert seen["length"] > 1_500


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        ({"code": 100, "message": "no"}, PlatformRefused),
        ({"code": 100, "error_subcode": 2388024}, TemplateExists),
        ({"code": 80008}, PlatformBusy),
        ({"code": 2}, PlatformUnavailable),
        ({"code": 190, "message": None, "error_data": "words"}, PlatformRefused),
        ({"code": 100, "error_user_title": None, "error_data": {"details": None}}, PlatformRefused),
        ({"message": "Service temporarily unavailable", "type": "http"}, PlatformUnavailable),
        ("temporarily_unavailable", PlatformUnavailable),
    ],
)
async def test_an_error_is_told_by_its_code(graph: Any, error: Any, failure: type[Failure]) -> None:
    api, pages = graph

    async def refuse(_request: web.Request) -> web.Response:
        return web.json_response({"error": error}, status=400)

    pages["x"] = refuse
    with pytest.raises(failure):
        await api.manage("POST", "x", {})


async def test_an_upload_without_an_id_is_none(graph: Any) -> None:
    api, pages = graph

    async def nothing(_request: web.Request) -> web.Response:
        return web.json_response({})

    async def parts() -> AsyncIterator[bytes]:
        yield b"a"

    pages["media"] = nothing
    with pytest.raises(PlatformUnavailable):
        await api.upload("1", Upload("image/png", 1, parts()), "default", 5)


@pytest.mark.parametrize("said", ["[]", "<html>", ""])
async def test_an_answer_that_is_no_object_is_none(graph: Any, said: str) -> None:
    api, pages = graph

    async def odd(_request: web.Request) -> web.Response:
        return web.Response(text=said)

    pages["x"] = odd
    with pytest.raises(PlatformUnavailable):
        await api.manage("GET", "x")
