"""The Graph endpoints."""

import asyncio
import base64
import hmac
from collections.abc import Awaitable, Callable, Mapping
from secrets import token_hex
from typing import Any

import orjson
from aiohttp import BodyPartReader, web

from simulator.faults import FaultBox
from simulator.ids import Ids
from simulator.media import URL_LIFE_S, MediaShelf, limit_of
from simulator.pipeline import Pipeline
from simulator.refusals import Refused, bad_token, invalid, missing, unknown_object
from simulator.webhooks import Courier
from simulator.world import World

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_NUMBER_FIELDS = "id,verified_name,display_phone_number,quality_rating,code_verification_status"
_VERSION = r"/v{version:\d+\.\d+}"


class Graph:
    """Answers Graph calls from the world; every refusal in Meta's envelope."""

    def __init__(
        self,
        *,
        world: World,
        pipeline: Pipeline,
        courier: Courier,
        faults: FaultBox,
        media: MediaShelf,
        ids: Ids,
        access_token: str,
        check_address: Callable[[str, str], Awaitable[str | None]],
        clock: Callable[[], float],
    ) -> None:
        self._world = world
        self._pipeline = pipeline
        self._courier = courier
        self._faults = faults
        self._media = media
        self._ids = ids
        self._bearer = f"Bearer {access_token}"
        self._check_address = check_address
        self._clock = clock
        self._url_key = token_hex(16).encode()

    def routes(self) -> list[web.RouteDef]:
        waba, object_ = _VERSION + r"/{waba_id:\d+}", _VERSION + r"/{object_id:\d+}"
        number = _VERSION + r"/{phone_number_id:\d+}"
        return [
            web.post(f"{number}/messages", self._guard(self._send)),
            web.post(f"{number}/marketing_messages", self._guard(self._send_marketing)),
            web.post(f"{number}/media", self._guard(self._upload)),
            web.get(f"{waba}/message_templates", self._guard(self._list_templates)),
            web.post(f"{waba}/message_templates", self._guard(self._create_template)),
            web.delete(f"{waba}/message_templates", self._guard(self._delete_templates)),
            web.get(f"{waba}/phone_numbers", self._guard(self._list_numbers)),
            web.get(f"{waba}/subscribed_apps", self._guard(self._subscriptions)),
            web.post(f"{waba}/subscribed_apps", self._guard(self._subscribe)),
            web.delete(f"{waba}/subscribed_apps", self._guard(self._unsubscribe)),
            web.get("/whatsapp_business/attachments/", self._guard(self._download)),
            web.get(object_, self._guard(self._get_object)),
            web.delete(object_, self._guard(self._delete_media)),
            web.route("*", _VERSION + "/{tail:.*}", self._guard(self._unknown)),
        ]

    def _guard(self, handler: Handler) -> Handler:
        """Bearer first, then the faults that refuse, then the call; refusals become answers."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                given = request.headers.get("Authorization", "")
                if not hmac.compare_digest(given.encode(), self._bearer.encode()):
                    raise bad_token()
                faults = self._faults.now
                if faults.latency_ms:
                    await asyncio.sleep(faults.latency_ms / 1000)
                return await handler(request)
            except Refused as refused:
                self._world.counts[f"rejected_{refused.code}"] += 1
                envelope = refused.envelope("A" + token_hex(11))
                return _json(envelope, status=refused.status)

        return guarded

    # --- messages -----------------------------------------------------------------------------

    async def _send(self, request: web.Request) -> web.StreamResponse:
        return await self._accept(request, marketing=False)

    async def _send_marketing(self, request: web.Request) -> web.StreamResponse:
        return await self._accept(request, marketing=True)

    async def _accept(self, request: web.Request, *, marketing: bool) -> web.StreamResponse:
        body = await _object(request)
        box, faults = self._faults, self._faults.now
        if box.hits(faults.throttle):
            raise Refused(130429, "Throttled on demand.")
        if box.hits(faults.error_5xx):
            raise Refused(131000, "Failed on demand, nothing was accepted.")
        await self._pipeline.room()
        phone_number_id = request.match_info["phone_number_id"]
        sent = self._world.send(
            phone_number_id, body, self._clock(), marketing=marketing, has_media=self._media.has
        )
        if sent.message is not None:
            self._pipeline.add(sent.message)
        if box.hits(faults.error_5xx_after_accept):
            raise Refused(131000, "Failed on demand.")
        if box.hits(faults.timeout_after_accept):
            await asyncio.sleep(faults.timeout_hold_s)
            return _cut(request)
        if box.hits(faults.drop_after_accept):
            return _cut(request)
        return _json(sent.answer)

    # --- media --------------------------------------------------------------------------------

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        number = self._world.number(request.match_info["phone_number_id"])
        if not request.content_type.startswith("multipart/"):
            raise Refused(100, "A multipart/form-data body is required.")
        mime_type, file_type, data = "", "", None
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise Refused(100, "Nested multipart bodies are not accepted.")
            if part.name == "file":
                file_type = part.headers.get("Content-Type", "")
                data = await _read_up_to(part, limit_of(mime_type or file_type))
            elif part.name == "type":
                mime_type = (await _read_up_to(part, 200)).decode(errors="replace")
        if data is None:
            raise Refused(100, message="(#100) The parameter file is required.")
        media = self._media.put(
            self._ids.number(), number.phone_number_id, mime_type or file_type, data
        )
        return _json({"id": media.media_id})

    async def _download(self, request: web.Request) -> web.StreamResponse:
        media_id, expires = request.query.get("mid", ""), request.query.get("ext", "")
        media = self._media.get(media_id)
        signed = hmac.compare_digest(
            request.query.get("hash", "").encode(), self._sign(media_id, expires).encode()
        )
        if media is None or not signed or int(expires) < self._clock():
            return web.Response(status=404)
        return web.Response(body=media.data, headers={"Content-Type": media.mime_type})

    async def _delete_media(self, request: web.Request) -> web.StreamResponse:
        media_id = request.match_info["object_id"]
        if not self._media.remove(media_id):
            raise unknown_object("DELETE", media_id)
        return _json({"success": True})

    def _sign(self, media_id: str, expires: str) -> str:
        return hmac.new(self._url_key, f"{media_id}/{expires}".encode(), "sha256").hexdigest()

    # --- objects ------------------------------------------------------------------------------

    async def _get_object(self, request: web.Request) -> web.StreamResponse:
        object_id = request.match_info["object_id"]
        fields = request.query.get("fields", "")
        if number := self._world.numbers.get(object_id):
            return _json(_only(number.seen_by_graph(), fields or _NUMBER_FIELDS))
        if template := self._world.templates.get(object_id):
            return _json(_only(template.seen_by_graph(), fields))
        if media := self._media.get(object_id):
            expires = str(int(self._clock() + URL_LIFE_S))
            url = request.url.origin().with_path("/whatsapp_business/attachments/")
            url = url.with_query(mid=object_id, ext=expires, hash=self._sign(object_id, expires))
            return _json(
                {
                    "url": str(url),
                    "mime_type": media.mime_type,
                    "sha256": media.sha256,
                    "file_size": str(len(media.data)),
                    "id": media.media_id,
                    "messaging_product": "whatsapp",
                }
            )
        raise unknown_object("GET", object_id)

    async def _list_numbers(self, request: web.Request) -> web.StreamResponse:
        waba_id = request.match_info["waba_id"]
        self._world.account(waba_id, "GET")
        fields = request.query.get("fields", "") or _NUMBER_FIELDS
        numbers = [
            _only(n.seen_by_graph(), fields)
            for n in self._world.numbers.values()
            if n.waba_id == waba_id
        ]
        return _json(_page(numbers, request.query))

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        raise Refused(2500, message=f"Unknown path components: /{request.match_info['tail']}")

    # --- templates ----------------------------------------------------------------------------

    async def _list_templates(self, request: web.Request) -> web.StreamResponse:
        waba_id = request.match_info["waba_id"]
        self._world.account(waba_id, "GET")
        query = request.query
        wanted = {k: query[k] for k in ("name", "status", "category", "language") if k in query}
        found = [
            _only(seen, query.get("fields", ""))
            for seen in (t.seen_by_graph() for t in self._world.templates.of(waba_id))
            if all(seen[key] == value for key, value in wanted.items())
        ]
        return _json(_page(found, query))

    async def _create_template(self, request: web.Request) -> web.StreamResponse:
        waba_id = request.match_info["waba_id"]
        template, review = self._world.create_template(waba_id, await _object(request))
        if review.after > 0:
            self._pipeline.add(review)
        else:
            self._courier.offer([self._world.decide(review, self._clock())])
        return _json(
            {
                "id": template.template_id,
                "status": template.status,
                "category": template.category,
            }
        )

    async def _delete_templates(self, request: web.Request) -> web.StreamResponse:
        self._world.delete_templates(
            request.match_info["waba_id"],
            name=request.query.get("name"),
            template_id=request.query.get("hsm_id"),
        )
        return _json({"success": True})

    # --- subscriptions ------------------------------------------------------------------------

    async def _subscriptions(self, request: web.Request) -> web.StreamResponse:
        waba_id = request.match_info["waba_id"]
        self._world.account(waba_id, "GET")
        app = {"whatsapp_business_api_data": {"id": "1", "name": "Simulator", "link": ""}}
        return _json({"data": [app] if self._world.subscribed[waba_id] else []})

    async def _subscribe(self, request: web.Request) -> web.StreamResponse:
        waba_id = request.match_info["waba_id"]
        self._world.account(waba_id, "POST")
        body = await _object(request) if request.can_read_body else {}
        if url := body.get("override_callback_uri"):
            token = body.get("verify_token")
            if not isinstance(url, str) or len(url) > 200:
                raise invalid("override_callback_uri", "must be text of at most 200 characters.")
            if not isinstance(token, str):
                raise missing("verify_token")
            if why := await self._check_address(url, token):
                raise Refused(2200, message=f"(#2200) Callback verification failed: {why}")
            self._courier.url = url
        self._world.subscribed[waba_id] = True
        return _json({"success": True})

    async def _unsubscribe(self, request: web.Request) -> web.StreamResponse:
        waba_id = request.match_info["waba_id"]
        self._world.account(waba_id, "DELETE")
        self._world.subscribed[waba_id] = False
        return _json({"success": True})


def _json(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise Refused(100, "The body must be a JSON object.")
    return body


async def _read_up_to(part: BodyPartReader, limit: int) -> bytes:
    data = bytearray()
    while chunk := await part.read_chunk(65_536):
        data += chunk
        if len(data) > limit:
            raise Refused(131053, f"The part {part.name} is larger than {limit} bytes.")
    return bytes(data)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _only(seen: dict[str, Any], fields: str) -> dict[str, Any]:
    """The fields asked for; all if none were. Nested field lists ask for the whole field."""
    if not fields:
        return seen
    names = {name.split("{")[0].split(".")[0].strip() for name in fields.split(",")} | {"id"}
    return {key: value for key, value in seen.items() if key in names}


def _page(items: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    try:
        limit = min(max(int(query.get("limit", "25")), 1), 1000)
        start = int(base64.b64decode(query["after"], validate=True)) if "after" in query else 0
    except ValueError:
        raise Refused(100, "limit and after: not a page of this list.") from None
    found = items[start : start + limit]
    if not found:
        return {"data": []}
    before, after = (base64.b64encode(str(n).encode()).decode() for n in (start, start + limit))
    paging: dict[str, Any] = {"cursors": {"before": before, "after": after}}
    if start + limit < len(items):
        paging["next"] = after
    return {"data": found, "paging": paging}
