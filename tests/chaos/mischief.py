"""What goes wrong, when and to whom: drawn from a seed, so that it can be repeated."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from cli.stack import SERVICES, Addresses
from tests.chaos.relays import Relays
from tests.chaos.suite import SERVERS, processes, tell

FAULTS: Mapping[str, Mapping[str, Any]] = {
    "slow": {"latency_ms": 1_500},
    "failing": {"error_5xx": 0.3, "error_5xx_after_accept": 0.05},
    "dropping": {"drop_before_accept": 0.2, "drop_after_accept": 0.05},
    "hanging": {"timeout_after_accept": 0.1, "timeout_hold_s": 4},
    "throttling": {"throttle": 0.3},
}
"""The Graph API, on a bad day."""

ALWAYS: Mapping[str, Any] = {
    "duplicate_webhooks": 0.1,
    "late_webhooks": 0.05,
    "late_by_s": 2,
    "shuffle_webhooks": True,
    "fail": {"131026": 0.02},
}
"""How Meta is on any day."""

_PAUSE_S = (1.0, 3.5)
_GRACE_S = 30.0  # as Kubernetes gives
_LOOK_S = 0.5
_LASTS_S = {"freeze": (1.0, 5.0), "cut": (1.0, 4.0), "graph": (2.0, 6.0)}

Set = Callable[[Mapping[str, Any]], Awaitable[None]]
"""Sets the faults of the Graph API."""


@dataclass(frozen=True)
class Deed:
    """One misfortune."""

    at: float
    """Seconds from the beginning."""
    what: str
    whom: str
    lasts: float
    """Seconds; 0: it is over at once, and its victim starts again by itself."""
    chance: float
    """0 to 1: which of several processes."""

    def __str__(self) -> str:
        lasts = f" for {self.lasts:.1f} s" if self.lasts else ""
        return f"{self.at:5.1f} s  {self.what} {self.whom}{lasts}"


def plan(seed: int, seconds: float) -> list[Deed]:
    """What happens within so many seconds. Every kind of misfortune comes to everybody in turn,
    in an order by chance, so that a minute holds most of them."""
    chance = random.Random(seed)
    kinds = [(what, whom) for what in ("kill", "freeze", "restart") for whom in SERVICES]
    kinds += [(what, whom) for what in ("kill", "freeze", "restart") for whom in SERVERS]
    kinds += [("cut", whom) for whom in SERVICES] + [("graph", whom) for whom in FAULTS]
    deeds: list[Deed] = []
    left: list[tuple[str, str]] = []
    at = chance.uniform(*_PAUSE_S)
    while at < seconds:
        left = left or chance.sample(kinds, len(kinds))
        what, whom = left.pop()
        lasts = chance.uniform(*_LASTS_S[what]) if what in _LASTS_S else 0.0
        deeds.append(Deed(at, what, whom, min(lasts, seconds - at), chance.random()))
        at += chance.uniform(*_PAUSE_S)
    return deeds


class Mischief:
    """Does what was planned, and makes good in the end."""

    def __init__(self, addresses: Addresses, relays: Relays, faults: Set) -> None:
        self._addresses = addresses
        self._relays = relays
        self._faults = faults
        self._bad: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.hung: Counter[str] = Counter()
        """Who was told to stop and had to be killed, as an orchestrator does."""

    async def do(self, deeds: Sequence[Deed], say: Callable[[str], None]) -> None:
        """All of them, each at its time; everything is mended when it returns."""
        begun = asyncio.get_running_loop().time()

        async def one(deed: Deed) -> None:
            await asyncio.sleep(begun + deed.at - asyncio.get_running_loop().time())
            say(str(deed))
            self.done[deed.what] += 1
            await getattr(self, f"_{deed.what}")(deed)

        async with asyncio.TaskGroup() as tasks:
            for deed in deeds:
                tasks.create_task(one(deed))

    async def _kill(self, deed: Deed) -> None:
        self._signal(deed, signal.SIGKILL)

    async def _restart(self, deed: Deed) -> None:
        # Of Postgres the fast kind of shutdown: the slow one waits for everybody to leave
        stop = signal.SIGINT if deed.whom == "postgres" else signal.SIGTERM
        told = self._signal(deed, stop)
        until = asyncio.get_running_loop().time() + _GRACE_S
        while told is not None and told in processes(self._addresses, deed.whom):
            if asyncio.get_running_loop().time() > until:
                self.hung[deed.whom] += 1
                tell(told, signal.SIGKILL)
                return
            await asyncio.sleep(_LOOK_S)

    def _signal(self, deed: Deed, number: signal.Signals) -> psutil.Process | None:
        running = processes(self._addresses, deed.whom)
        if not running:
            return None  # it is being started again
        victim = running[int(deed.chance * len(running))]
        tell(victim, number)
        return victim

    async def _freeze(self, deed: Deed) -> None:
        # All of a server's processes: Postgres works in its children
        found = processes(self._addresses, deed.whom)
        if deed.whom not in SERVERS and found:
            found = [found[int(deed.chance * len(found))]]
        found += [child for process in found for child in process.children(recursive=True)]
        for process in found:
            tell(process, signal.SIGSTOP)
        try:
            await asyncio.sleep(deed.lasts)
        finally:
            for process in found:
                tell(process, signal.SIGCONT)

    async def _cut(self, deed: Deed) -> None:
        self._relays.cut(deed.whom)
        try:
            await asyncio.sleep(deed.lasts)
        finally:
            self._relays.mend(deed.whom)

    async def _graph(self, deed: Deed) -> None:
        self._bad[deed.whom] += 1
        await self._set()
        try:
            await asyncio.sleep(deed.lasts)
        finally:
            self._bad[deed.whom] -= 1
            await self._set()

    async def _set(self) -> None:
        faults = dict(ALWAYS)
        for name in +self._bad:
            faults |= FAULTS[name]
        await self._faults(faults)
