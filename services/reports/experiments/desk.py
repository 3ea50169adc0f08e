"""Experiments: begun, judged, changed and ended; by callers here, by themselves in `judge`."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from chassis.clock import Clock, milliseconds_of, moment_of
from chassis.failures import EtagMismatch, FieldInvalid
from chassis.ids import derived_id
from services.reports.experiments import judging
from services.reports.experiments.judging import Report
from services.reports.experiments.model import (
    HORIZON_MS,
    SALES,
    Experiment,
    State,
    exploration,
)
from services.reports.experiments.outcomes import Gathered
from services.reports.failures import (
    DataInsufficient,
    ExperimentExists,
    ExperimentNotFound,
    ExperimentState,
    VariantNotFound,
)
from services.reports.statistics import Estimate

_MOST_WEIGHT: Final = 1_000_000.0
_MANY: Final = 100_000
"""Recipients of whom it takes seconds to find out what they did."""


class Store(Protocol):
    """Keeps experiments."""

    async def add(self, one: Experiment) -> Experiment:
        """Store an experiment, unless its campaign has one; returns the one it has."""
        ...

    async def get(self, experiment_id: str) -> Experiment | None:
        """One of them."""
        ...

    async def of_campaign(self, campaign_id: str) -> Experiment | None:
        """The one of a campaign."""
        ...

    async def listed(
        self,
        states: Sequence[State],
        campaign_id: str,
        before: tuple[datetime, str] | None,
        most: int,
    ) -> list[Experiment]:
        """Latest created first, from behind a place on."""
        ...

    async def change(
        self, experiment_id: str, change: Callable[[Experiment], bool]
    ) -> Experiment | None:
        """Change an experiment while nobody else does; `change` says whether it did."""
        ...

    async def keep(self, experiment_id: str, known: Gathered) -> None:
        """Keep what came of the recipients, for whoever asks next."""
        ...

    async def known(self, experiment_id: str) -> Gathered | None:
        """What came of the recipients when somebody last looked; None before."""
        ...

    async def due(self, now: datetime, again: timedelta) -> Experiment | None:
        """One that runs and whose turn it is; it is its turn again after a while."""
        ...

    async def later(self, experiment_id: str, time: datetime) -> None:
        """Look at one not before then."""
        ...


class Facts(Protocol):
    """What is known of recipients."""

    async def gathered(self, experiment: Experiment) -> tuple[Gathered, str, datetime]:
        """What came of them, the currency of revenue, and until when everything is known."""
        ...

    async def window(self, conversion_id: str) -> timedelta:
        """How long after a message a conversion counts. Raises `ConversionNotFound`."""
        ...


class Sender(Protocol):
    """What the sender does for experiments."""

    async def variants(self, campaign_id: str) -> dict[str, float]:
        """The weights of a campaign's variants, in its order. Raises `CampaignNotFound`."""
        ...

    async def weigh(self, campaign_id: str, request_id: str, weights: Mapping[str, float]) -> bool:
        """Set weights, once for each request. False: the campaign keeps its own, because it is over
        or nobody would be left to be sent."""
        ...


class Judged(NamedTuple):
    """An experiment with what is known of it."""

    experiment: Experiment
    gathered: Gathered
    report: Report
    fold_time: datetime


class Desk:
    """What callers do with experiments."""

    def __init__(self, store: Store, facts: Facts, sender: Sender, clock: Clock) -> None:
        self._store = store
        self._facts = facts
        self._sender = sender
        self._clock = clock

    async def create(self, draft: Experiment, request_id: str) -> Experiment:
        """Begin an experiment. Raises `ExperimentExists`, `CampaignNotFound`, `VariantNotFound`,
        `ConversionNotFound`, `FieldInvalid`."""
        experiment_id = derived_id("exp", request_id)
        found = await self._store.of_campaign(draft.campaign_id)
        if found is None:
            await self._complete(draft, experiment_id)
            found = await self._store.add(draft)
        if found.experiment_id != experiment_id:
            raise ExperimentExists(found.campaign_id, found.experiment_id)
        return found

    async def _complete(self, draft: Experiment, experiment_id: str) -> None:
        weights = await self._sender.variants(draft.campaign_id)
        # Those that nobody is to get take no part: a bandit would wait for them for ever.
        draft.variants = tuple(name for name, weight in weights.items() if weight > 0)
        if len(draft.variants) < 2:
            raise FieldInvalid(
                "experiment.campaign_id", "the campaign has fewer than two variants with a weight"
            )
        draft.baseline = draft.baseline or draft.variants[0]
        if draft.baseline not in draft.variants:
            raise VariantNotFound(draft.baseline, list(draft.variants))
        if draft.exploration_share * len(draft.variants) > 1:
            raise FieldInvalid(
                "experiment.exploration_share", "more than an equal share of the variants"
            )
        if draft.kind == "bandit":
            draft.exploration_share = exploration(draft.exploration_share, len(draft.variants))
        draft.window_ms = HORIZON_MS
        if draft.goal in SALES:
            window = await self._facts.window(draft.conversion_id)
            draft.window_ms = window // timedelta(milliseconds=1)
        draft.experiment_id = experiment_id
        draft.create_time = milliseconds_of(self._clock.now())

    async def get(self, experiment_id: str) -> Experiment:
        """One experiment. Raises `ExperimentNotFound`."""
        return _there(await self._store.get(experiment_id), experiment_id)

    async def listed(
        self,
        states: Sequence[State],
        campaign_id: str,
        before: tuple[datetime, str] | None,
        most: int,
    ) -> list[Experiment]:
        """Latest created first, from behind a place on."""
        return await self._store.listed(states, campaign_id, before, most)

    async def update(
        self, experiment_id: str, etag: str, change: Callable[[Experiment], None]
    ) -> Experiment:
        """Change one that runs. Raises `EtagMismatch`, `ExperimentState`."""

        def apply(one: Experiment) -> bool:
            if etag and etag != one.etag:
                raise EtagMismatch(one.etag)
            if one.state != "running":
                raise ExperimentState(one.experiment_id, one.state)
            change(one)
            return True

        return _there(await self._store.change(experiment_id, apply), experiment_id)

    async def stop(self, experiment_id: str, reason: str) -> Experiment:
        """End one without a winner. Raises `ExperimentState` for one that is decided."""
        ended = await self.end(experiment_id, reason)
        if ended.state == "decided":
            raise ExperimentState(ended.experiment_id, ended.state)
        return ended

    async def end(self, experiment_id: str, reason: str) -> Experiment:
        """End without a winner what still runs; what ended otherwise meanwhile stays as it is."""
        now = milliseconds_of(self._clock.now())

        def apply(one: Experiment) -> bool:
            if one.state != "running":
                return False
            one.state, one.state_reason, one.decide_time = "stopped", reason, now
            return True

        return _there(await self._store.change(experiment_id, apply), experiment_id)

    async def judged(self, experiment: Experiment) -> Judged:
        """What is known now, kept for whoever asks next."""
        gathered, _, _ = await self._facts.gathered(experiment)
        if experiment.experiment_id:
            await self._store.keep(experiment.experiment_id, gathered)
        return _judged(experiment, gathered)

    async def report(self, experiment_id: str) -> Judged:
        """What an experiment says. Raises `ExperimentNotFound`."""
        return await self._told(await self.get(experiment_id))

    async def _told(self, experiment: Experiment) -> Judged:
        """What is known now; of very many recipients what was when a replica last looked."""
        known = await self._store.known(experiment.experiment_id)
        if known is None or known.recipients < _MANY or self._outdated(experiment, known):
            return await self.judged(experiment)
        return _judged(experiment, known)

    def _outdated(self, experiment: Experiment, known: Gathered) -> bool:
        """Whether those who waited do no longer, and no replica looks any more."""
        if experiment.state == "running" or not known.waiting:
            return False
        return known.known_until + experiment.window_ms <= milliseconds_of(self._clock.now())

    async def report_campaign(self, campaign_id: str) -> Judged:
        """What the experiment of a campaign says; without one its variants are compared by how
        many were read. Raises `ExperimentNotFound` where there is nothing to compare."""
        found = await self._store.of_campaign(campaign_id)
        if found is not None:
            return await self._told(found)
        judged = await self.judged(Experiment(campaign_id=campaign_id))
        if len(judged.gathered.variants()) < 2:
            raise ExperimentNotFound(
                "the campaign has no experiment, and no two variants to compare",
                campaign_id=campaign_id,
            )
        return judged

    async def declare(
        self, experiment_id: str, variant: str, reason: str, request_id: str
    ) -> Experiment:
        """Give a variant all the weight and end the experiment. Raises `VariantNotFound`,
        `ExperimentState`, `ServiceUnavailable`."""
        one = await self.get(experiment_id)
        if variant not in one.variants:
            raise VariantNotFound(variant, list(one.variants))
        if one.state == "decided" and one.winner == variant:
            return one
        if one.state != "running":
            raise ExperimentState(one.experiment_id, one.state)
        decided = await self.decide(one, variant, reason, request_id)
        if decided.winner != variant:  # it ended otherwise meanwhile
            raise ExperimentState(decided.experiment_id, decided.state)
        return decided

    async def decide(
        self, one: Experiment, variant: str, reason: str, request_id: str
    ) -> Experiment:
        """Have the sender send nothing but the winner, then say so."""
        weights = {name: float(name == variant) for name in one.variants}
        await self._sender.weigh(one.campaign_id, request_id, weights)
        now = milliseconds_of(self._clock.now())

        def apply(own: Experiment) -> bool:
            if own.state != "running":
                return False
            own.state, own.state_reason, own.decide_time = "decided", reason, now
            own.winner, own.weights = variant, weights
            return True

        return _there(await self._store.change(one.experiment_id, apply), one.experiment_id)

    async def weights(self, experiment_id: str) -> Judged:
        """What the weights follow from. Raises `DataInsufficient`."""
        found = await self.report(experiment_id)
        if judging.weights(found.experiment, found.gathered) is None:
            least = min((arm.recipients for arm in found.report.arms), default=0)
            raise DataInsufficient(
                "recipients of the smallest variant whose outcome is known", judging.LEARNING, least
            )
        return found

    async def estimates(
        self, experiment_id: str, weights: Mapping[str, float]
    ) -> tuple[Judged, list[Estimate]]:
        """What other weights would have brought. Raises `DataInsufficient`, `VariantNotFound`."""
        found = await self.report(experiment_id)
        known = [arm.variant for arm in found.report.arms]
        if unknown := sorted(weights.keys() - set(known)):
            raise VariantNotFound(unknown[0], known)
        if any(not 0 <= weight <= _MOST_WEIGHT for weight in weights.values()):
            raise FieldInvalid("weights", "a weight is negative, too large or no number")
        total = sum(weights.values())
        if not total:
            raise FieldInvalid("weights", "all are 0; give at least one variant a weight")
        of = {arm.variant: arm.recipients for arm in found.report.arms}
        for variant, weight in weights.items():
            if weight and of[variant] < 2:
                raise DataInsufficient(
                    f"recipients of variant {variant} whose outcome is known", 2, of[variant]
                )
        target = {variant: weight / total for variant, weight in weights.items()}
        return found, judging.estimates(found.gathered, target)


def _judged(experiment: Experiment, gathered: Gathered) -> Judged:
    report = judging.report(experiment, gathered)
    return Judged(experiment, gathered, report, moment_of(gathered.known_until))


def _there(found: Experiment | None, experiment_id: str) -> Experiment:
    if found is None:
        raise ExperimentNotFound(
            "there is no such experiment; list them first", experiment_id=experiment_id
        )
    return found
