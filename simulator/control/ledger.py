"""The control API: what the simulator saw."""

import asyncio
from itertools import islice

from aiohttp import web

from simulator.control.answers import answer, number, whole
from simulator.ledger import questions
from simulator.ledger.ledger import as_json
from simulator.refusals import Refused
from simulator.world.world import World

_PAGE = 10_000


class LedgerCalls:
    """Questions about the ledger; each looks at all of it, so they are asked when a load ends."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def entries(self, request: web.Request) -> web.Response:
        after = whole(request, "after", 0)
        limit = min(max(whole(request, "limit", 1000), 1), _PAGE)
        entries = self._world.ledger.page(after, limit)
        return answer(
            {
                "entries": [as_json(entry) for entry in entries],
                "next": entries[-1].seq if entries else after,
            }
        )

    async def duplicates(self, _: web.Request) -> web.Response:
        return answer(questions.duplicates(self._world.ledger))

    async def seconds(self, request: web.Request) -> web.Response:
        """What one number did in each second, and in its busiest."""
        phone_number_id = _required(request, "phone_number_id")
        seconds = [
            second
            for second in self._world.seconds.of(phone_number_id)
            if second["second"] > whole(request, "after", 0)
        ]
        await asyncio.sleep(0)
        return answer(
            {
                **questions.busiest(self._world.ledger, phone_number_id),
                "seconds": [*islice(seconds, _PAGE)],
            }
        )

    async def pairs(self, request: web.Request) -> web.Response:
        return answer(questions.closest(self._world.ledger, number(request, "interval_s", 6.0)))

    async def recipients(self, request: web.Request) -> web.Response:
        template, prefix = request.query.get("template"), request.query.get("prefix", "")
        return answer(questions.recipients(self._world.ledger, template=template, prefix=prefix))


def _required(request: web.Request, name: str) -> str:
    value = request.query.get(name)
    if not value:
        raise Refused(100, f"{name} is required")
    return value
