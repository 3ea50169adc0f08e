"""Graph: the app, its token, its webhook address, and the accounts it follows."""

import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web

from simulator.graph.answers import answer, object_of, only, refusal
from simulator.refusals import Refused, bad_token, invalid, missing
from simulator.world.numbers import APP_ID
from simulator.world.world import World

_LONGEST_ADDRESS = 200
_UNTOLD = frozenset(
    {
        *("is_enabled_for_insights", "marketing_messages_lite_api_status", "subscribed_apps"),
        *("on_behalf_of_business_info", "owner_business_info", "primary_business_location"),
        *("disable_marketing_messages_on_cloud_api", "primary_funding_id"),
    }
)


class Apps:
    """There is one app; whatever id a caller gives it, its secret tells it."""

    def __init__(
        self,
        world: World,
        app_secret: str,
        check_address: Callable[[str, str], Awaitable[str | None]],
    ) -> None:
        """`check_address`: (address, verify token) to None, or why it did not pass."""
        self._world = world
        self._secret = app_secret
        self._check = check_address

    async def checked(self, url: object, token: object) -> str:
        """The address, once it passed Meta's check. Raises Refused."""
        if not isinstance(url, str) or len(url) > _LONGEST_ADDRESS:
            raise invalid(
                "override_callback_uri", f"must be text of at most {_LONGEST_ADDRESS} characters."
            )
        if not isinstance(token, str) or not token:
            raise missing("verify_token")
        if why := await self._check(url, token):
            raise Refused(2200, message=f"(#2200) Callback verification failed: {why}")
        return url

    # --- the app ------------------------------------------------------------------------------

    async def access_token(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        given = query.get("client_secret", "")
        if not hmac.compare_digest(given.encode(), self._secret.encode()):
            status, body = refusal(bad_token("Error validating client secret"), http_429=False)
            return web.Response(body=body, status=status, content_type="application/json")
        token = f"{query.get('client_id', '')}|{self._secret}"
        return answer({"access_token": token, "token_type": "bearer"})

    def has_app_token(self, request: web.Request) -> bool:
        """Whether the call carries the app's own token, as calls about the app do."""
        given = request.query.get("access_token", "")
        if not given or not request.path.endswith("/subscriptions"):
            return False
        return hmac.compare_digest(given.rpartition("|")[2].encode(), self._secret.encode())

    async def set_address(self, request: web.Request) -> web.StreamResponse:
        """The app's webhook address, and the fields it wants."""
        given = {**request.query, **(await object_of(request))}
        if given.get("object") != "whatsapp_business_account":
            raise Refused(100, "object: must be whatsapp_business_account.")
        subscriptions = self._world.subscriptions
        subscriptions.url = await self.checked(given.get("callback_url"), given.get("verify_token"))
        fields = given.get("fields")
        if isinstance(fields, str) and fields:
            subscriptions.fields = frozenset(f.strip() for f in fields.split(","))
        return answer({"success": True})

    # --- accounts -----------------------------------------------------------------------------

    def get(self, waba_id: str, request: web.Request) -> web.Response | None:
        """None if there is no such account."""
        if not self._world.subscriptions.knows(waba_id):
            return None
        seen = {
            "id": waba_id,
            "name": "Merhaba",
            "currency": "USD",
            "timezone_id": "1",
            "message_template_namespace": "merhaba",
            "account_review_status": "APPROVED",
            "business_verification_status": "verified",
            "country": "TR",
            "ownership_type": "SELF",
            "status": "ACTIVE",
            "marketing_messages_onboarding_status": "ONBOARDED",
            "health_status": {
                "can_send_message": "AVAILABLE",
                "entities": [
                    {"entity_type": "WABA", "id": waba_id, "can_send_message": "AVAILABLE"}
                ],
            },
        }
        fields = request.query.get("fields") or "name,timezone_id,currency"
        return answer(only(seen, fields, "WhatsAppBusinessAccount", _UNTOLD))

    async def subscriptions(self, request: web.Request) -> web.StreamResponse:
        waba_id = request.match_info["waba_id"]
        self._world.account(waba_id, "GET")
        app: dict[str, object] = {
            "whatsapp_business_api_data": {"id": APP_ID, "name": "Simulator", "link": ""}
        }
        if override := self._world.subscriptions.override_of_account(waba_id):
            app["override_callback_uri"] = override
        return answer({"data": [app] if self._world.subscriptions.follows(waba_id) else []})

    async def subscribe(self, request: web.Request) -> web.StreamResponse:
        waba_id = request.match_info["waba_id"]
        self._world.account(waba_id, "POST")
        body = await object_of(request)
        override = ""
        if body.get("override_callback_uri"):
            override = await self.checked(body["override_callback_uri"], body.get("verify_token"))
        self._world.subscriptions.follow(waba_id, override)
        return answer({"success": True})

    async def unsubscribe(self, request: web.Request) -> web.StreamResponse:
        waba_id = request.match_info["waba_id"]
        self._world.account(waba_id, "DELETE")
        self._world.subscriptions.leave(waba_id)
        return answer({"success": True})
