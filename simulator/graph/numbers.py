"""Graph: business numbers, their profiles and whom they blocked."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web

from simulator.graph.answers import answer, object_of, only, page
from simulator.people.person import Person
from simulator.refusals import Refused, invalid
from simulator.world.numbers import Number
from simulator.world.world import World

_FIELDS = (
    "id,verified_name,display_phone_number,quality_rating,code_verification_status,platform_type,"
    "throughput,last_onboarded_time"
)
_PROFILE = ("about", "address", "description", "email", "profile_picture_url", "websites",
            "vertical")  # fmt: skip
_UNTOLD = frozenset(
    {
        *("certificate", "new_certificate", "conversational_automation", "country_dial_code"),
        *("eligibility_for_api_business_global_search", "new_name_status", "new_display_name"),
        *("search_visibility", "username", "host_platform", "messaging_limit_tier"),
        "unified_cert_status",
    }
)
_MOST_BLOCKED = 64_000
_REGISTRATIONS, _REGISTRATIONS_S = 10, 72 * 3600.0

CheckAddress = Callable[[object, object], Awaitable[str]]
"""(address, token) of an override; the address, once it passed Meta's check."""


class NumberCalls:
    """Seen, changed, registered."""

    def __init__(
        self, world: World, check_address: CheckAddress, clock: Callable[[], float]
    ) -> None:
        self._world = world
        self._check_address = check_address
        self._clock = clock
        self._registrations: dict[str, deque[float]] = {}

    def get(self, number_id: str, request: web.Request) -> web.Response | None:
        """None if there is no such number."""
        number = self._world.numbers.get(number_id)
        if number is None:
            return None
        return answer(self._shown_fields(number, request))

    async def list(self, request: web.Request) -> web.StreamResponse:
        waba_id = request.match_info["waba_id"]
        self._world.account(waba_id, "GET")
        seen = [self._shown_fields(n, request) for n in self._world.numbers_of(waba_id)]
        return answer(page(seen, request))

    def _shown_fields(self, number: Number, request: web.Request) -> dict[str, Any]:
        fields = request.query.get("fields") or _FIELDS
        return only(self._seen(number), fields, "WhatsAppBusinessPhoneNumber", _UNTOLD)

    def _seen(self, number: Number) -> dict[str, Any]:
        seen = number.seen_by_graph(self._world.portfolio)
        subscriptions = self._world.subscriptions
        addresses = {
            "phone_number": subscriptions.override_of_number(number.phone_number_id),
            "whatsapp_business_account": subscriptions.override_of_account(number.waba_id),
            "application": subscriptions.url,
        }
        return seen | {"webhook_configuration": {k: v for k, v in addresses.items() if v}}

    async def change(self, number_id: str, request: web.Request) -> web.StreamResponse:
        """Its own webhook address, or another name."""
        number, body = self._world.number(number_id), await object_of(request)
        configuration = body.get("webhook_configuration")
        if isinstance(configuration, dict):
            url = configuration.get("override_callback_uri")
            if url:
                url = await self._check_address(url, configuration.get("verify_token"))
            self._world.subscriptions.override_number(number_id, str(url or ""))
        if name := body.get("new_display_name") or request.query.get("new_display_name"):
            number.verified_name = str(name)
        return answer({"success": True})

    async def register(self, request: web.Request) -> web.StreamResponse:
        number, body = self._number(request), await object_of(request)
        pin = body.get("pin")
        if not isinstance(pin, str) or len(pin) != 6 or not pin.isdigit():
            raise invalid("pin", "must be six digits.")
        self._count_registration(number)
        number.registered = True
        return answer({"success": True})

    async def deregister(self, request: web.Request) -> web.StreamResponse:
        number = self._number(request)
        self._count_registration(number)
        number.registered = False
        return answer({"success": True})

    def _count_registration(self, number: Number) -> None:
        now = self._clock()
        made = self._registrations.setdefault(number.phone_number_id, deque())
        while made and made[0] <= now - _REGISTRATIONS_S:
            made.popleft()
        if len(made) >= _REGISTRATIONS:
            raise Refused(133016, f"At most {_REGISTRATIONS} times in 72 hours.")
        made.append(now)

    async def profile(self, request: web.Request) -> web.StreamResponse:
        number = self._number(request)
        seen = {key: number.profile[key] for key in _PROFILE if key in number.profile}
        fields = request.query.get("fields", "")
        if fields:
            seen = {k: v for k, v in seen.items() if k in fields.split(",")}
        return answer({"data": [{**seen, "messaging_product": "whatsapp"}]})

    async def change_profile(self, request: web.Request) -> web.StreamResponse:
        number, body = self._number(request), await object_of(request)
        if body.get("messaging_product") != "whatsapp":
            raise Refused(100, "The parameter messaging_product is required and must be whatsapp.")
        number.profile |= {key: body[key] for key in _PROFILE if key in body}
        return answer({"success": True})

    async def settings(self, request: web.Request) -> web.StreamResponse:
        return answer(self._number(request).settings)

    async def change_settings(self, request: web.Request) -> web.StreamResponse:
        number = self._number(request)
        number.settings |= await object_of(request)
        return answer({"success": True})

    # --- blocking -----------------------------------------------------------------------------

    async def blocked(self, request: web.Request) -> web.StreamResponse:
        people = self._world.people
        seen = []
        for wa_id in self._number(request).blocked:
            person = people.settle(wa_id)
            seen.append(
                {
                    "messaging_product": "whatsapp",
                    **self._shown(wa_id, person),
                }
            )
        return answer(page(seen, request))

    async def block(self, request: web.Request) -> web.StreamResponse:
        """Only those who wrote in the last 24 hours can be blocked."""
        number, now = self._number(request), self._clock()
        done, failed = [], []
        for given, person in await self._people_in(request):
            if person is None or not self._world.chat(number, person, now).open_at(now):
                failed.append(given)
            elif len(number.blocked) < _MOST_BLOCKED:
                number.blocked[person.wa_id] = None
                done.append(self._shown(given, person))
        if failed:
            details = "Only people who wrote in the last 24 hours can be blocked."
            raise Refused(139100, f"{details} Not blocked: {len(failed)}, blocked: {len(done)}.")
        return answer({"messaging_product": "whatsapp", "block_users": {"added_users": done}})

    async def unblock(self, request: web.Request) -> web.StreamResponse:
        number, done = self._number(request), []
        for given, person in await self._people_in(request):
            if person is not None:
                number.blocked.pop(person.wa_id, None)
                done.append(self._shown(given, person))
        return answer({"messaging_product": "whatsapp", "block_users": {"removed_users": done}})

    async def _people_in(self, request: web.Request) -> Iterable[tuple[str, Person | None]]:
        given = (await object_of(request)).get("block_users")
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            raise Refused(100, "block_users: a list of objects is required.")
        ids = [str(one.get("user") or one.get("user_id") or "") for one in given]
        return [(one, self._world.people.find(one.lstrip("+"))) for one in ids]

    def _shown(self, given: str, person: Person) -> dict[str, str]:
        user_id = self._world.people.bsuid_of(person)
        return {"input": given, "wa_id": person.wa_id, "user_id": user_id}

    def _number(self, request: web.Request) -> Number:
        return self._world.number(request.match_info["phone_number_id"], request.method)
