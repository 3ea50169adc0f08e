"""What the business does with its templates. Pure."""

from collections.abc import Mapping
from typing import Any

from simulator.refusals import Refused, template_fault, unknown_object
from simulator.templates.definition import Status, Template, change, define
from simulator.templates.shelf import check_editable
from simulator.webhooks.updates import Update
from simulator.world.standing import Standing
from simulator.world.world import Later, World


class TemplateAccount:
    """Templates created, changed and deleted, and Meta's reviews of them."""

    def __init__(self, world: World, standing: Standing) -> None:
        self._world = world
        self._standing = standing

    def create(self, waba_id: str, body: Mapping[str, Any], now: float) -> tuple[Template, Later]:
        """Pending, and the decision that is to come."""
        world = self._world
        world.account(waba_id, "POST")
        template = define(world.ids.number(), waba_id, body, world.uploads.has)
        rules = world.rules
        per_hour = rules.template_creations_per_hour
        world.templates.add(template, now, most=rules.template_limit, per_hour=per_hour)
        return template, self._review(template)

    def edit(self, template: Template, body: Mapping[str, Any], now: float) -> Later | None:
        """Changed; the decision that is to come. An approved template stays in use meanwhile."""
        category = body.get("category")
        if category is not None and category != template.category:
            if template.status == "APPROVED":
                raise template_fault(
                    2388045,
                    "Category cannot be changed",
                    "The category of an approved template cannot be changed.",
                )
            if category not in ("MARKETING", "UTILITY", "AUTHENTICATION"):
                raise Refused(100, "category: must be MARKETING, UTILITY or AUTHENTICATION.")
        check_editable(template, now)
        before, template.category = template.category, category or template.category
        try:
            change(template, body, self._world.uploads.has)
        except Refused:
            template.category = before
            raise
        if template.status == "APPROVED":
            return None
        template.status = "PENDING"
        return self._review(template)

    def delete(
        self, waba_id: str, now: float, *, name: str | None, template_id: str | None
    ) -> None:
        """By name in all languages, or one by id."""
        self._world.account(waba_id, "DELETE")
        found = [
            t
            for t in self._world.templates.of(waba_id)
            if (template_id is None or t.template_id == template_id)
            and (name is None or t.name == name)
        ]
        if not found or (name is None and template_id is None):
            raise template_fault(
                2593002, "Message Template Not Found", "No template has this name or id."
            )
        for template in found:
            self._world.templates.remove(template, now)

    def unpause(self, template: Template, now: float) -> list[Update]:
        """Ends a pause that pacing began, which ends by itself never."""
        if template.status != "PAUSED":
            raise template_fault(2388007, "Template is not paused", "Only a pause can be ended.")
        return self._standing.unpause(template, now)

    def archive(self, template_id: str, *, away: bool) -> None:
        """Put it away, or take it out again."""
        template = self._world.templates.get(template_id)
        if template is None:
            raise unknown_object("POST", template_id)
        before, after = ("APPROVED", "ARCHIVED") if away else ("ARCHIVED", "APPROVED")
        if template.status != before:
            raise Refused(100, f"template {template_id} is {template.status}, not {before}.")
        template.status = "ARCHIVED" if after == "ARCHIVED" else "APPROVED"

    def _review(self, template: Template) -> Later:
        rules = self._world.rules
        rejected = template.name in rules.reject_templates
        reason = rules.reject_reason if rejected else "NONE"
        decision: Status = "REJECTED" if rejected else "APPROVED"

        def decided(now: float) -> list[Update]:
            # Meanwhile it may have been deleted.
            if self._world.templates.get(template.template_id) is not template:
                return []
            return self._standing.decide(template, decision, reason, now)

        return Later(rules.review_delay_s, decided, awaited=True)
