"""How messages did of late: where plans of experiments begin."""

from collections.abc import Awaitable, Callable, Sequence

from chassis.clock import Clock
from chassis.failures import FieldInvalid
from merhaba.reports.v1 import Attribution, Filter, Measure
from services.reports.answers.cutting import Row
from services.reports.answers.measures import Made, made
from services.reports.answers.question import Question, filters
from services.reports.experiments.planning import PACE, Past
from services.reports.model import Period


class Pace:
    """Looks at the sums of the last weeks."""

    def __init__(self, sums: Callable[[Question], Awaitable[list[Row]]], clock: Clock) -> None:
        self._sums = sums
        self._clock = clock

    async def past(self, measure: int, asked: Sequence[Filter]) -> Past:
        """What a rate was. Raises `FieldInvalid`, also where the measure is no rate, and
        `QueryUnsupported`."""
        wanted = made(measure, Attribution.ATTRIBUTION_UNSPECIFIED)
        if wanted is None or wanted.kind != "rate" or wanted.whole is None:
            raise FieldInvalid("measure", "no rate; plan with one like READ_RATE")
        now = self._clock.now()
        measures = (measure, wanted), (Measure.MEASURE_SENT, Made("count", "sent"))
        period = Period(now - PACE, now, "UTC")
        (row,) = await self._sums(Question(measures, (), filters(asked), period, "", False))
        part, whole = row.sums.get(wanted.part, 0), row.sums.get(wanted.whole, 0)
        return Past(int(part), int(whole), row.sums.get("sent", 0) / PACE.days)
