"""What the business earns by how people take its messages: quality, pauses, limits. Pure."""

from typing import Final

from simulator.templates.definition import Category, Status, Template
from simulator.webhooks.notices import (
    capability,
    number_quality,
    template_category,
    template_category_coming,
    template_quality,
    template_status,
)
from simulator.webhooks.updates import Update
from simulator.world.numbers import Number
from simulator.world.quality import Score
from simulator.world.world import Later, Told, World

_HOUR_S: Final = 3600.0
_DAY_S: Final = 86_400.0
# What the first and the second time of low quality cost; the third disables the template.
_PAUSES: Final = ((3 * _HOUR_S, "FIRST_PAUSE"), (6 * _HOUR_S, "SECOND_PAUSE"))
_FLAGGED_S: Final = 7 * _DAY_S
_RISE_S: Final = 6 * _HOUR_S

NOTHING: Final = Told([])


class Standing:
    """Of templates, of numbers, and of the portfolio."""

    def __init__(self, world: World) -> None:
        self._world = world

    # --- what people do -----------------------------------------------------------------------

    def delivered(self, number: Number, template: Template | None, now: float) -> Told:
        """A message arrived."""
        number.feedback.deliver()
        told = self._number_again(number, now)
        if template is not None:
            template.feedback.deliver()
            told = _both(told, self._template_again(template, now))
        if self._world.portfolio.earned() and not any(
            n.feedback.told == "RED" for n in self._world.numbers.values()
        ):
            self._world.portfolio.rising = True
            told = _both(told, Told([], (Later(_RISE_S, lambda at: self._rise(number, at)),)))
        return told

    def complained(self, number: Number, template: Template | None, now: float) -> Told:
        """Somebody blocked or reported the sender of a message."""
        number.feedback.complain()
        told = self._number_again(number, now)
        if template is not None:
            template.feedback.complain()
            told = _both(told, self._template_again(template, now))
        return told

    # --- numbers ------------------------------------------------------------------------------

    def _number_again(self, number: Number, now: float) -> Told:
        feedback = number.feedback
        score = feedback.score(self._world.rules)
        if score in {"UNKNOWN", feedback.told}:
            return NOTHING
        feedback.told, feedback.since = score, now
        if score != "RED" or number.flagged:
            return NOTHING
        number.flagged = True
        self._world.counts["numbers_flagged"] += 1
        update = number_quality(number, "FLAGGED", self._world.portfolio.tier, now)
        return Told([update], (Later(_FLAGGED_S, lambda at: self._unflag(number, at)),))

    def _unflag(self, number: Number, now: float) -> list[Update]:
        number.flagged = False
        number.feedback.forget()
        number.feedback.told, number.feedback.since = "GREEN", now
        return [number_quality(number, "UNFLAGGED", self._world.portfolio.tier, now)]

    def _rise(self, number: Number, now: float) -> list[Update]:
        portfolio = self._world.portfolio
        # Meanwhile another may have been put
        if not portfolio.rising:
            return []
        portfolio.rise()
        self._world.counts["limit_raised"] += 1
        return [
            self.limit_told(number.waba_id, now),
            number_quality(number, "UPGRADE", portfolio.tier, now),
        ]

    def limit_told(self, waba_id: str, now: float) -> Update:
        """What Meta tells of the messaging limit as it is."""
        return capability(
            waba_id, self._world.portfolio.limit, len(self._world.numbers_of(waba_id)), now
        )

    # --- templates ----------------------------------------------------------------------------

    def decide(self, template: Template, status: Status, reason: str, now: float) -> list[Update]:
        """The template takes a status, as a review gives it."""
        template.status, template.rejected_reason = status, reason
        return [template_status(template, now)]

    def recategorise(self, template: Template, category: Category, in_s: float, now: float) -> Told:
        """Meta finds that the template is of another category, now or after an announcement."""

        def done(at: float) -> list[Update]:
            # Meanwhile it may have been deleted.
            if self._world.templates.get(template.template_id) is not template:
                return []
            before, template.category = template.category, category
            return [template_category(template, before, at)]

        if not in_s:
            return Told(done(now))
        holds_at = now + in_s / self._world.lifetime.speed
        return Told(
            [template_category_coming(template, category, holds_at, now)], (Later(in_s, done),)
        )

    def _template_again(self, template: Template, now: float) -> Told:
        feedback = template.feedback
        before, score = feedback.told, feedback.score(self._world.rules)
        return NOTHING if score in {"UNKNOWN", before} else self.rate(template, score, now)

    def rate(self, template: Template, score: Score, now: float) -> Told:
        """The template gets a score; low quality pauses it."""
        before, template.feedback.told = template.feedback.told, score
        template.feedback.since = now
        told = Told([template_quality(template, before, now)])
        if score == "RED" and template.status == "APPROVED":
            told = _both(told, self._pause(template, now))
        return told

    def _pause(self, template: Template, now: float) -> Told:
        self._world.counts["template_pauses"] += 1
        template.pauses += 1
        if template.pauses > len(_PAUSES):
            template.status = "DISABLED"
            return Told([template_status(template, now, title="DISABLED", description=_WHY)])
        template.status = "PAUSED"
        for_s, title = _PAUSES[template.pauses - 1]
        update = template_status(template, now, title=title, description=_WHY)
        return Told([update], (Later(for_s, lambda at: self._resume(template, at)),))

    def _resume(self, template: Template, now: float) -> list[Update]:
        return self.unpause(template, now) if template.status == "PAUSED" else []

    def unpause(self, template: Template, now: float) -> list[Update]:
        """The pause is over; quality is judged anew."""
        template.status = "APPROVED"
        template.feedback.forget()
        template.feedback.told = "UNKNOWN"
        template.paced, template.held_until = 0, None
        return [template_status(template, now, title="UNPAUSE", description="The pause is over.")]

    # --- pacing -------------------------------------------------------------------------------

    def assess(self, template: Template, now: float) -> tuple[bool, Told]:
        """Whether a message that was held back may go now; the first that asks decides."""
        if template.status != "APPROVED":
            return False, NOTHING
        if template.held_until is None or template.feedback.told == "GREEN":
            return True, NOTHING
        feedback, rules = template.feedback, self._world.rules
        if feedback.against >= max(1.0, rules.red_share * feedback.delivered):
            self._world.counts["template_pauses"] += 1
            template.status = "PAUSED"
            # Nobody lifts it but the business.
            title = "RATE_LIMITING_PAUSE"
            return False, Told([template_status(template, now, title=title, description=_WHY)])
        before, feedback.told, feedback.since = feedback.told, "GREEN", now
        template.held_until = None
        return True, Told([template_quality(template, before, now)])


_WHY: Final = "People blocked or reported messages of this template."


def _both(one: Told, other: Told) -> Told:
    if not (other.updates or other.later):
        return one
    return Told([*one.updates, *other.updates], (*one.later, *other.later))
