"""What came of recipients, found out for everybody who asks at once, and not too often.

To find it out takes some 20 µs a recipient, so of a campaign of a million half a minute. Whoever
asks meanwhile waits for the same answer, and whoever asks soon after gets it again.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from chassis.clock import Clock
from services.reports.experiments.model import Experiment
from services.reports.experiments.outcomes import Gathered

Answer = tuple[Gathered, str, datetime]

SHARE: Final = 20
"""What took a while holds for so many times as long: a twentieth of the time is spent on it."""
_AT_ONCE: Final = 2
"""Each holds a connection of the pool."""
_KEPT: Final = 64


class Recipients(Protocol):
    """What is known of recipients."""

    async def gathered(self, experiment: Experiment) -> Answer:
        """What came of them, the currency of revenue, and until when everything is known."""
        ...

    async def window(self, conversion_id: str) -> timedelta:
        """How long after a message a conversion counts. Raises `ConversionNotFound`."""
        ...


class _Question(NamedTuple):
    """What an answer follows from, beside the facts."""

    campaign_id: str
    goal: str
    conversion_id: str
    window_ms: int
    adjusts_history: bool


class _Known(NamedTuple):
    answer: Answer
    until: datetime


class Gathering:
    """Asks the facts."""

    def __init__(self, recipients: Recipients, clock: Clock) -> None:
        self._recipients = recipients
        self._clock = clock
        self._known: dict[_Question, _Known] = {}
        self._asked: dict[_Question, asyncio.Task[Answer]] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def gathered(self, experiment: Experiment) -> Answer:
        """As `Recipients`, as of now or of a moment ago. A caller who leaves ends nothing: the next
        one finds the answer."""
        question = _Question(
            *(experiment.campaign_id, experiment.goal, experiment.conversion_id),
            *(experiment.window_ms, experiment.adjusts_history),
        )
        known = self._known.get(question)
        if known is not None and self._clock.now() < known.until:
            return known.answer
        task = self._asked.get(question)
        if task is None:
            task = asyncio.create_task(self._ask(question, experiment))
            self._asked[question] = task
            task.add_done_callback(lambda done: self._end(question, done))
        return await asyncio.shield(task)

    async def window(self, conversion_id: str) -> timedelta:
        """As `Recipients`."""
        return await self._recipients.window(conversion_id)

    async def run(self) -> None:
        """Until cancelled; then nothing is asked any more."""
        try:
            await asyncio.Event().wait()
        finally:
            for task in list(self._asked.values()):
                task.cancel()

    async def _ask(self, question: _Question, experiment: Experiment) -> Answer:
        async with self._places:
            began = self._clock.now()
            answer = await self._recipients.gathered(experiment)
            ended = self._clock.now()
        self._known.pop(question, None)
        if len(self._known) >= _KEPT:
            self._known.pop(next(iter(self._known)))
        self._known[question] = _Known(answer, ended + SHARE * (ended - began))
        return answer

    def _end(self, question: _Question, done: "asyncio.Task[Answer]") -> None:
        del self._asked[question]
        if not done.cancelled():
            done.exception()  # told to whoever asked, if somebody still does
