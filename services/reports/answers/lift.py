"""What a campaign's recipients did more than those held out."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from merhaba.reports.v1 import Measure, Value
from services.reports.experiments.model import SALES, Experiment
from services.reports.experiments.outcomes import Gathered
from services.reports.statistics import difference, relative

Gather = Callable[[Experiment], Awaitable[tuple[Gathered, str, datetime]]]
_MEASURES: Final = {
    "conversion_rate": Measure.MEASURE_CONVERSION_RATE,
    "revenue": Measure.MEASURE_REVENUE,
}


async def lifts(gather: Gather, campaign_id: str, window: timedelta) -> list[Value]:
    """By conversion rate and by revenue, relative, with the interval; the sample is those held out.
    Everybody who was to be reached is compared, gates or not, by all that they bought within the
    window. Nothing of a measure is said while there is too little."""
    found: list[Value] = []
    for goal in SALES:
        asked = Experiment(
            campaign_id=campaign_id, goal=goal, window_ms=window // timedelta(milliseconds=1)
        )
        gathered, _, _ = await gather(asked)
        treated, held = gathered.treated.sums, gathered.held.sums
        apart = difference(treated, held)
        if apart is not None and (share := relative(apart, held)) is not None:
            found.append(
                Value(
                    measure=_MEASURES[goal],
                    value=share.value,
                    lower=share.lower,
                    upper=share.upper,
                    sample_size=held.n,
                )
            )
    return found
