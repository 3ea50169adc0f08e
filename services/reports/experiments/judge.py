"""Looks at running experiments now and then, and does what follows."""

from datetime import timedelta
from typing import Final, Protocol

import structlog

from chassis.clock import Clock
from chassis.ids import fingerprint
from chassis.transient import keep_at
from services.reports.experiments import judging
from services.reports.experiments.desk import Desk, Judged, Sender, Store
from services.reports.experiments.model import Experiment

_EVERY: Final = timedelta(seconds=60)
_LOOK: Final = timedelta(seconds=5)
_SHARE: Final = 20
"""An experiment is looked at no more often than costs a twentieth of the time."""
_LEASE: Final = timedelta(minutes=10)
"""How long after a crash another replica looks."""
_MOVED: Final = 0.01
"""A bandit that learned less than this changes nothing."""

_logger = structlog.get_logger()


class Campaigns(Protocol):
    """What is known of campaigns."""

    async def over(self, campaign_id: str) -> bool:
        """Whether a campaign ended."""
        ...


class Judge:
    """Ends experiments that are decided or do harm, and steers bandits."""

    def __init__(
        self, desk: Desk, store: Store, sender: Sender, campaigns: Campaigns, clock: Clock
    ) -> None:
        self._desk = desk
        self._store = store
        self._sender = sender
        self._campaigns = campaigns
        self._clock = clock

    async def run(self) -> None:
        """Look, until cancelled."""
        await keep_at(self.look, self._clock, _LOOK, "experiments not looked at")

    async def look(self) -> bool:
        """Look at one whose turn it is; returns whether there was one."""
        began = self._clock.now()
        experiment = await self._store.due(began, _LEASE)
        if experiment is None:
            return False
        try:
            await self.judge(experiment)
        finally:
            now = self._clock.now()
            await self._store.later(
                experiment.experiment_id, now + max(_EVERY, _SHARE * (now - began))
            )
        return True

    async def judge(self, experiment: Experiment) -> None:
        """Do what follows from what is known now."""
        over = await self._campaigns.over(experiment.campaign_id)
        found = await self._desk.judged(experiment)
        if harmful := judging.breached(experiment, found.gathered):
            await self._protect(experiment, harmful)
            return
        best = judging.winner(experiment, found.gathered)
        if best and experiment.automatic_winner:
            request_id = _request_id(experiment, "winner", best)
            await self._desk.decide(experiment, best, "sure", request_id)
            _logger.info("experiment decided", experiment_id=experiment.experiment_id)
        elif over and not found.gathered.waiting:
            await self._desk.end(experiment.experiment_id, "campaign_over")
        elif experiment.kind == "bandit" and not over:
            await self._steer(found)

    async def _protect(self, experiment: Experiment, harmful: list[str]) -> None:
        """Nobody gets a harmful variant from now on, unless there is no other."""
        others = dict.fromkeys(harmful, 0.0)
        if set(experiment.variants) - others.keys():
            request_id = _request_id(experiment, "guard", *harmful)
            await self._sender.weigh(experiment.campaign_id, request_id, others)
        ended = await self._desk.end(experiment.experiment_id, f"guard: {', '.join(harmful)}")
        await self._as_decided(ended, *harmful)
        _logger.warning("a guard is breached", experiment_id=experiment.experiment_id)

    async def _steer(self, found: Judged) -> None:
        """Give the variants the shares that follow from what was learned. The same knowledge is
        the same request, whoever has it and however often."""
        experiment = found.experiment
        weights = judging.weights(experiment, found.gathered)
        if weights is None or found.report.ratio_alarm:
            return
        before = experiment.weights
        if before and all(abs(weights[v] - before.get(v, 0.0)) < _MOVED for v in weights):
            return
        learned = [f"{variant}={weight}" for variant, weight in weights.items()]
        known = [f"{arm.variant}:{arm.recipients}" for arm in found.report.arms]
        request_id = _request_id(experiment, "weights", *learned, *known)
        if not await self._sender.weigh(experiment.campaign_id, request_id, weights):
            return

        def apply(one: Experiment) -> bool:
            if one.state != "running":
                return False
            one.weights = weights
            return True

        one = await self._store.change(experiment.experiment_id, apply)
        if one is not None:
            await self._as_decided(one, *learned)

    async def _as_decided(self, one: Experiment, *written: str) -> None:
        """Where somebody declared a winner meanwhile, its weights hold, over which were written."""
        if one.state == "decided":
            request_id = _request_id(one, "again", *written)
            await self._sender.weigh(one.campaign_id, request_id, one.weights)


def _request_id(experiment: Experiment, *learned: str) -> str:
    return str(fingerprint("\x1f".join((experiment.experiment_id, *learned))))
