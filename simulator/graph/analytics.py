"""Graph: what Meta counted and billed, by day. Fields of the account, and an edge for templates."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import phonenumbers
from aiohttp import web

from simulator.graph.answers import answer, page
from simulator.refusals import Refused
from simulator.world.figures import Figure, Subject, cost
from simulator.world.world import World

_DAY_S: Final = 86_400
_TEMPLATES_BACK_S: Final = 90 * _DAY_S
_BACK_S: Final = 365 * _DAY_S
_MOST_TEMPLATES: Final = 10
_CALL: Final = re.compile(r"\.(\w+)\(([^()]*)\)")
_FIELDS: Final = ("analytics", "pricing_analytics")
_PRICING: Final[Mapping[str, Callable[[Subject], str]]] = {
    "COUNTRY": lambda s: phonenumbers.region_code_for_country_code(int(s.country)),
    "PHONE": lambda s: s.number,
    "PRICING_CATEGORY": lambda s: s.category.upper().replace("-", "_"),
    "PRICING_TYPE": lambda s: s.type.upper(),
}
_NAMES: Final = {
    "COUNTRY": "country",
    "PHONE": "phone_number",
    "PRICING_CATEGORY": "pricing_category",
    "PRICING_TYPE": "pricing_type",
}

Sums = Mapping[tuple[int, Subject, Figure], int]


class AnalyticsCalls:
    """Answers from the world's figures."""

    def __init__(self, world: World, clock: Callable[[], float]) -> None:
        self._world = world
        self._clock = clock

    def get(self, waba_id: str, request: web.Request) -> web.Response | None:
        """None if it is no account, or another field is asked for."""
        fields = request.query.get("fields", "")
        name = fields.partition(".")[0]
        if name not in _FIELDS or not self._world.subscriptions.knows(waba_id):
            return None
        asked = dict(_CALL.findall(fields))
        start, end = self._between(asked, _BACK_S)
        sums = self._of(waba_id, start, end)
        if name == "analytics":
            if asked.get("granularity") != "DAY":
                raise Refused(100, "granularity: only DAY is told here.")
            numbers = _list(asked.get("phone_numbers", ""))
            points: list[dict[str, Any]] = _sent(sums, set(numbers))
            told: dict[str, Any] = {"granularity": "DAY", "data_points": points}
        else:
            if asked.get("granularity") != "DAILY":
                raise Refused(100, "granularity: only DAILY is told here.")
            told = {"data": [{"data_points": _priced(sums, _list(asked.get("dimensions", "")))}]}
        return answer({name: told, "id": waba_id})

    async def templates(self, request: web.Request) -> web.StreamResponse:
        """By template and day."""
        waba_id, query = request.match_info["waba_id"], request.query
        self._world.account(waba_id, "GET")
        start, end = self._between(query, _TEMPLATES_BACK_S)
        if query.get("granularity", "").lower() != "daily":
            raise Refused(100, "granularity must be daily.")
        ids = _list(query.get("template_ids", ""))
        if not 0 < len(ids) <= _MOST_TEMPLATES:
            raise Refused(100, f"template_ids: between 1 and {_MOST_TEMPLATES}.")
        points = _of_templates(self._of(waba_id, start, end), ids)
        told = {"granularity": "DAILY", "product_type": "cloud_api", "data_points": points}
        return answer(page([told], request))

    def _of(self, waba_id: str, start: int, end: int) -> Sums:
        found = self._world.figures.between(start, end)
        return {key: count for key, count in found.items() if key[1].waba_id == waba_id}

    def _between(self, asked: Mapping[str, str], back_s: int) -> tuple[int, int]:
        try:
            start, end = int(asked["start"]), int(asked["end"])
        except (KeyError, ValueError):
            raise Refused(100, "start and end must be Unix times.") from None
        if not start < end:
            raise Refused(100, "start must be before end.")
        if start < self._clock() - back_s - _DAY_S:
            raise Refused(100, f"start: at most {back_s // _DAY_S} days back.")
        return start, end


def _list(text: str) -> list[str]:
    return [part.strip(" \"'") for part in text.strip("[] ").split(",") if part.strip(" \"'")]


def _sent(sums: Sums, numbers: set[str]) -> list[dict[str, Any]]:
    days: dict[int, Counter[str]] = {}
    for (day, subject, figure), count in sums.items():
        if figure in ("sent", "delivered") and (not numbers or subject.number in numbers):
            days.setdefault(day, Counter())[figure] += count
    return [
        {"start": day, "end": day + _DAY_S, "sent": n["sent"], "delivered": n["delivered"]}
        for day, n in sorted(days.items())
    ]


def _priced(sums: Sums, dimensions: Iterable[str]) -> list[dict[str, Any]]:
    if strange := set(dimensions) - _PRICING.keys():
        raise Refused(100, f"dimensions: {min(strange)} is not told here.")
    found: dict[tuple[Any, ...], list[float]] = {}
    for (day, subject, figure), count in sums.items():
        if figure == "volume":
            key = (day, *(_PRICING[name](subject) for name in dimensions))
            line = found.setdefault(key, [0.0, 0.0])
            line[0] += count
            line[1] += cost(subject, count)
    return [
        {
            **{"start": day, "end": day + _DAY_S},
            **{_NAMES[name]: value for name, value in zip(dimensions, values, strict=True)},
            **{"volume": int(volume), "cost": round(paid, 6)},
        }
        for (day, *values), (volume, paid) in sorted(found.items())
    ]


def _of_templates(sums: Sums, ids: list[str]) -> list[dict[str, Any]]:
    found: dict[tuple[str, int], Counter[str]] = {}
    paid: Counter[tuple[str, int]] = Counter()
    for (day, subject, figure), count in sums.items():
        if subject.template_id in ids:
            key = subject.template_id, day
            found.setdefault(key, Counter())[figure] += count
            if figure == "volume":
                paid[key] += cost(subject, count)  # type: ignore[assignment]  # sums of dollars
    return [
        {
            **{"template_id": template_id, "start": day, "end": day + _DAY_S},
            **{name: n[name] for name in ("sent", "delivered", "read")},
            "clicked": [{"type": "unique_url_button", "button_content": "", "count": n["clicked"]}],
            "cost": [{"type": "amount_spent", "value": round(paid[template_id, day], 6)}],
        }
        for (template_id, day), n in sorted(found.items())
    ]
