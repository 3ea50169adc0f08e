"""Looks at the facts by every rule, now and then."""

from datetime import timedelta
from typing import Final

import structlog

from chassis.clock import Clock
from chassis.transient import keep_at
from services.reports.alerts.looking import Looker
from services.reports.alerts.model import Rule
from services.reports.alerts.store import AlertStore
from services.reports.model import QueryTooLarge

_LOOK: Final = timedelta(seconds=5)
_LEASE: Final = timedelta(minutes=5)
"""How long after a crash another replica looks."""

_logger = structlog.get_logger()


class Watcher:
    """Begins and ends alerts."""

    def __init__(self, store: AlertStore, looker: Looker, clock: Clock) -> None:
        self._store = store
        self._looker = looker
        self._clock = clock

    async def run(self) -> None:
        """Look, until cancelled."""
        await keep_at(self.look, self._clock, _LOOK, "alerts not looked for")

    async def look(self) -> bool:
        """Look by one rule whose turn it is; returns whether there was one."""
        rule = await self._store.due(self._clock.now(), _LEASE)
        if rule is None:
            return False
        try:
            await self.check(rule)
        finally:
            every = timedelta(milliseconds=rule.every_ms)
            await self._store.later(rule, self._clock.now() + every)
        return True

    async def check(self, rule: Rule) -> None:
        """Do what follows from a rule now; of a disabled one all that stands ends."""
        try:
            looks = [] if rule.disabled else await self._looker.look(rule)
        except QueryTooLarge:
            _logger.warning("a rule has too many subjects", rule=rule.alert_rule_id)
            return
        for alert in await self._store.settle(rule, looks, self._clock.now()):
            _logger.warning(
                "alert", alert_id=alert.alert_id, rule=rule.alert_rule_id, state=alert.state
            )
