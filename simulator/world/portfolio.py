"""The messaging limit: how many people a business may open a conversation with. Pure."""

from collections import OrderedDict

_DAY_S = 86_400.0

UNLIMITED = 0
LIMITS = (250, 2_000, 10_000, 100_000, UNLIMITED)
_NAMES = {
    250: "TIER_250",
    2_000: "TIER_2K",
    10_000: "TIER_10K",
    100_000: "TIER_100K",
    UNLIMITED: "TIER_UNLIMITED",
}


class Portfolio:
    """All numbers of a business share the limit: people reached outside a window in a rolling
    day. While there is none, nobody is remembered."""

    def __init__(self, portfolio_id: str) -> None:
        self.portfolio_id = portfolio_id
        self.limit = UNLIMITED
        self.rising = False
        """Whether a higher limit was earned and is on its way."""
        self._reached: OrderedDict[str, float] = OrderedDict()

    @property
    def tier(self) -> str:
        return _NAMES[self.limit]

    @property
    def used(self) -> int:
        return len(self._reached)

    def admits(self, wa_id: str, now: float) -> bool:
        """Whether this person may be reached now."""
        if self.limit == UNLIMITED:
            return True
        reached = self._reached
        while reached and next(iter(reached.values())) <= now - _DAY_S:
            reached.popitem(last=False)
        return wa_id in reached or len(reached) < self.limit

    def reach(self, wa_id: str, now: float) -> bool:
        """Count a person; whether they were not counted yet."""
        if self.limit == UNLIMITED:
            return False
        new = wa_id not in self._reached
        self._reached[wa_id] = now
        self._reached.move_to_end(wa_id)
        return new

    def miss(self, wa_id: str) -> None:
        """The message that counted them did not arrive."""
        self._reached.pop(wa_id, None)

    def earned(self) -> bool:
        """Whether enough of the limit is used for the next one; Meta asks for half."""
        return self.limit != UNLIMITED and not self.rising and self.used * 2 >= self.limit

    def rise(self) -> None:
        """The next limit comes into force."""
        self.put(LIMITS[LIMITS.index(self.limit) + 1])

    def put(self, limit: int) -> None:
        self.limit, self.rising = limit, False
        if limit == UNLIMITED:
            self._reached.clear()
