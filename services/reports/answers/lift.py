"""What a campaign's recipients did more than those held out."""

from datetime import datetime, timedelta
from typing import Final, Protocol

from merhaba.reports.v1 import Measure, Value
from services.reports.experiments.model import SALES, Experiment
from services.reports.experiments.outcomes import Gathered
from services.reports.statistics import difference, relative

_MEASURES: Final = {
    "conversion_rate": Measure.MEASURE_CONVERSION_RATE,
    "revenue": Measure.MEASURE_REVENUE,
}


class Recipients(Protocol):
    """What is known of recipients."""

    async def gathered(self, experiment: Experiment) -> tuple[Gathered, str, datetime]:
        """What came of them, the currency of revenue, and until when everything is known."""
        ...

    async def window(self, conversion_id: str) -> timedelta:
        """How long after a message a conversion counts. Raises `ConversionNotFound`."""
        ...


async def lifts(recipients: Recipients, campaign_id: str, conversion_id: str) -> list[Value]:
    """By conversion rate and by revenue, relative, with the interval; the sample is those held out.
    Everybody who was to be reached is compared, gates or not, by all that they did within the
    window. Nothing of a measure is said while there is too little. `conversion_id`: what counts;
    empty: orders."""
    window = await recipients.window(conversion_id)
    found: list[Value] = []
    for goal in SALES:
        asked = Experiment(
            campaign_id=campaign_id,
            goal=goal,
            conversion_id=conversion_id,
            window_ms=window // timedelta(milliseconds=1),
        )
        gathered, _, _ = await recipients.gathered(asked)
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
