"""A maker of files in a process of its own, for tests that end it in the middle of one."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from chassis.clock import ManualClock
from chassis.postgres import database
from services.reports.exports import making
from services.reports.freshness import Freshness
from services.reports.ledger import Ledger
from services.reports.store import PostgresStore
from services.reports.tests.looking import looking


async def main(url: str, moment: str) -> None:
    """Make one file in small pieces."""
    making.PIECE = 4_096
    clock = ManualClock(datetime.fromtimestamp(float(moment), UTC))
    nothing: Any = None  # it folds no events
    async with database(url, "reports", 4) as pool:
        store = PostgresStore(pool, nothing, timedelta(days=7))
        ledger = Ledger(store, Freshness(clock.now()), clock, "Europe/Istanbul")
        async with looking(pool, ledger, clock) as (_, maker):
            await maker.make()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
