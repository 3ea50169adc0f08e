"""The Graph endpoints: which there are, and what is true of all of them."""

import asyncio
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from simulator.faults import FaultBox
from simulator.graph.analytics import AnalyticsCalls
from simulator.graph.answers import cut
from simulator.graph.apps import Apps
from simulator.graph.media import MediaCalls
from simulator.graph.numbers import NumberCalls
from simulator.graph.sends import Sends
from simulator.graph.templates import TemplateCalls
from simulator.refusals import Refused, unknown_object
from simulator.world.limits import Calls
from simulator.world.world import World

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_VERSION = r"/v{version:\d+\.\d+}"
_OBJECT = _VERSION + r"/{id:\d+}"
_ACCOUNT = _VERSION + r"/{waba_id:\d+}"
_NUMBER = _VERSION + r"/{phone_number_id:\d+}"


class Door:
    """Answers Graph calls; every refusal in Meta's envelope."""

    def __init__(
        self,
        *,
        world: World,
        sends: Sends,
        numbers: NumberCalls,
        templates: TemplateCalls,
        media: MediaCalls,
        apps: Apps,
        analytics: AnalyticsCalls,
        faults: FaultBox,
        clock: Callable[[], float],
    ) -> None:
        self._world = world
        self._sends = sends
        self._numbers = numbers
        self._templates = templates
        self._media = media
        self._apps = apps
        self._analytics = analytics
        self._faults = faults
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        numbers, templates = self._numbers, self._templates
        media, apps, guard = self._media, self._apps, self._guard
        routes: list[tuple[str, str, Handler]] = [
            ("POST", f"{_NUMBER}/messages", self._send),
            ("POST", f"{_NUMBER}/marketing_messages", self._send_marketing),
            ("POST", f"{_NUMBER}/media", media.upload),
            ("GET", "/whatsapp_business/attachments/", media.download),
            ("POST", _VERSION + r"/{id:\d+|app}/uploads", media.begin_upload),
            ("POST", _VERSION + "/{upload_id:upload:.+}", media.write_upload),
            ("GET", _VERSION + "/{upload_id:upload:.+}", media.get_upload),
            ("GET", f"{_ACCOUNT}/message_templates", templates.list),
            ("POST", f"{_ACCOUNT}/message_templates", templates.create),
            ("DELETE", f"{_ACCOUNT}/message_templates", templates.delete),
            ("POST", f"{_ACCOUNT}/message_templates/archive", templates.archive),
            ("POST", f"{_ACCOUNT}/message_templates/unarchive", templates.unarchive),
            ("POST", f"{_ACCOUNT}/upsert_message_templates", templates.upsert),
            ("POST", _VERSION + r"/{template_id:\d+}/unpause", templates.unpause),
            ("GET", f"{_ACCOUNT}/phone_numbers", numbers.list),
            ("GET", f"{_ACCOUNT}/template_analytics", self._analytics.templates),
            ("GET", f"{_ACCOUNT}/subscribed_apps", apps.subscriptions),
            ("POST", f"{_ACCOUNT}/subscribed_apps", apps.subscribe),
            ("DELETE", f"{_ACCOUNT}/subscribed_apps", apps.unsubscribe),
            ("POST", f"{_OBJECT}/subscriptions", apps.set_address),
            ("POST", f"{_NUMBER}/register", numbers.register),
            ("POST", f"{_NUMBER}/deregister", numbers.deregister),
            ("GET", f"{_NUMBER}/whatsapp_business_profile", numbers.profile),
            ("POST", f"{_NUMBER}/whatsapp_business_profile", numbers.change_profile),
            ("GET", f"{_NUMBER}/settings", numbers.settings),
            ("POST", f"{_NUMBER}/settings", numbers.change_settings),
            ("GET", f"{_NUMBER}/block_users", numbers.blocked),
            ("POST", f"{_NUMBER}/block_users", numbers.block),
            ("DELETE", f"{_NUMBER}/block_users", numbers.unblock),
            ("GET", _OBJECT + "{slash:/?}", self._get_object),
            ("POST", _OBJECT + "{slash:/?}", self._post_object),
            ("DELETE", _OBJECT, media.delete),
            ("*", _VERSION + "/{tail:.*}", self._unknown),
        ]
        # Whoever asks for the app's own token has none yet, and the app's token is in the query.
        return [
            web.get("/oauth/access_token", apps.access_token),
            web.get(_VERSION + "/oauth/access_token", apps.access_token),
            *(web.route(method, path, guard(handler)) for method, path, handler in routes),
        ]

    def _guard(self, handler: Handler) -> Handler:
        """Token first, then the limit of calls, then the call; refusals become answers."""
        sends = handler in (self._send, self._send_marketing)

        async def guarded(request: web.Request) -> web.StreamResponse:
            calls = None
            try:
                if not self._apps.has_app_token(request):
                    self._sends.check_token(request.headers.get("Authorization", ""))
                if latency_ms := self._faults.now.latency_ms:
                    await asyncio.sleep(latency_ms / 1000)
                if waba_id := request.match_info.get("waba_id"):
                    calls = self._world.calls(waba_id)
                    self._count(calls)
                if not sends:
                    self._faults.check_call()
                response = await handler(request)
                if not sends and self._faults.hits(self._faults.now.cut_calls):
                    cut(request)
            except Refused as refused:
                status, body = self._sends.refuse(refused)
                response = web.Response(body=body, status=status, content_type="application/json")
            if calls is not None and not response.prepared:
                self._tell_usage(response, request.match_info["waba_id"], calls)
            # The connection's next message goes the short way again.
            response.force_close()
            return response

        return guarded

    def _count(self, calls: Calls) -> None:
        if not calls.take(self._clock(), self._world.rules.management_per_hour):
            raise Refused(
                80007, message="Business request limit reached for WhatsApp Business Account"
            )

    def _tell_usage(self, response: web.StreamResponse, waba_id: str, calls: Calls) -> None:
        most = self._world.rules.management_per_hour
        used = calls.used_percent(most)
        left = calls.minutes_left(self._clock()) if calls.count > most else 0
        usage = {"call_count": used, "total_cputime": used, "total_time": used}
        business = {
            waba_id: [
                {"type": "whatsapp", **usage, "estimated_time_to_regain_access": left},
            ]
        }
        response.headers["X-App-Usage"] = orjson.dumps(usage).decode()
        response.headers["X-Business-Use-Case-Usage"] = orjson.dumps(business).decode()

    # --- messages that did not come the short way ---------------------------------------------

    async def _send(self, request: web.Request) -> web.StreamResponse:
        return await self._accept(request, marketing=False)

    async def _send_marketing(self, request: web.Request) -> web.StreamResponse:
        return await self._accept(request, marketing=True)

    async def _accept(self, request: web.Request, *, marketing: bool) -> web.StreamResponse:
        raw = await request.read()
        await self._sends.ready()
        reply = self._sends.send(
            request.match_info["phone_number_id"],
            marketing,
            request.headers.get("Authorization", ""),
            raw,
        )
        if reply.cut_after_s is not None:
            await asyncio.sleep(reply.cut_after_s)
            cut(request)
            return web.Response(status=500)
        return web.Response(body=reply.body, status=reply.status, content_type="application/json")

    # --- objects ------------------------------------------------------------------------------

    async def _get_object(self, request: web.Request) -> web.StreamResponse:
        object_id = request.match_info["id"]
        numbers, templates, media = self._numbers, self._templates, self._media
        for look in (numbers.get, templates.get, media.get, self._analytics.get, self._apps.get):
            if (found := look(object_id, request)) is not None:
                return found
        raise unknown_object("GET", object_id)

    async def _post_object(self, request: web.Request) -> web.StreamResponse:
        object_id = request.match_info["id"]
        if object_id in self._world.numbers:
            return await self._numbers.change(object_id, request)
        if template := self._world.templates.get(object_id):
            return await self._templates.edit(template, request)
        raise unknown_object("POST", object_id)

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        raise Refused(2500, message=f"Unknown path components: /{request.match_info['tail']}")
