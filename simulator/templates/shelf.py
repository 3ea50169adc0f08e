"""The templates of all accounts. Pure."""

from collections import deque
from collections.abc import Iterator

from simulator.refusals import Refused, template_fault
from simulator.templates.definition import Template

_HOUR_S = 3600.0
_DAY_S = 86_400.0
_EDITS_A_MONTH = 10


class Templates:
    """As many for each account as the rules say; a name that was approved rests for 30 days when
    deleted."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[str, str, str], Template] = {}
        self._by_id: dict[str, Template] = {}
        self._of: dict[str, dict[str, Template]] = {}
        self._resting: dict[tuple[str, str], float] = {}
        self._created: dict[str, deque[float]] = {}

    def add(self, template: Template, now: float, *, most: int, per_hour: int) -> None:
        key = (template.waba_id, template.name, template.language)
        if key in self._by_key:
            raise template_fault(
                2388024,
                "Content in this language already exists",
                f"There is already {template.language} content for this template. "
                "Create a new template or delete this one first.",
            )
        rests_until = self._resting.get(key[:2], now)
        if rests_until > now:
            raise template_fault(
                2388023,
                "Message template is being deleted",
                f"A template of this name was deleted; the name is free again in "
                f"{int((rests_until - now) / _DAY_S) + 1} days.",
            )
        mine = self._of.setdefault(template.waba_id, {})
        if len(mine) >= most:
            raise template_fault(
                2388019,
                "Message template limit exceeded",
                f"This account holds {most} templates. Delete some first.",
            )
        created = self._created.setdefault(template.waba_id, deque())
        while created and created[0] <= now - _HOUR_S:
            created.popleft()
        if len(created) >= per_hour:
            raise Refused(80007, f"At most {per_hour} templates may be created in an hour.")
        created.append(now)
        self._by_key[key] = self._by_id[template.template_id] = template
        mine[template.template_id] = template

    def find(self, waba_id: str, name: str, language: str) -> Template | None:
        return self._by_key.get((waba_id, name, language))

    def get(self, template_id: str) -> Template | None:
        return self._by_id.get(template_id)

    def of(self, waba_id: str) -> Iterator[Template]:
        return iter(self._of.get(waba_id, {}).values())

    def remove(self, template: Template, now: float) -> None:
        """Gone at once; its name rests if people may have seen it."""
        if template.status == "DISABLED":
            raise template_fault(
                2388025, "Template cannot be deleted", "A disabled template cannot be deleted."
            )
        del self._by_key[template.waba_id, template.name, template.language]
        del self._by_id[template.template_id]
        del self._of[template.waba_id][template.template_id]
        if template.status in {"APPROVED", "PAUSED"}:
            self._resting[template.waba_id, template.name] = now + 30 * _DAY_S


def check_editable(template: Template, now: float) -> None:
    """Raises Refused unless the template may be changed now; counts the change if so."""
    if template.status not in {"APPROVED", "REJECTED", "PAUSED"}:
        raise template_fault(
            2388003,
            "Template cannot be edited",
            f"A template with the status {template.status} cannot be edited.",
        )
    if template.status != "APPROVED":
        return
    month = [at for at in template.edits if at > now - 30 * _DAY_S]
    if len(month) >= _EDITS_A_MONTH or (month and month[-1] > now - _DAY_S):
        raise template_fault(
            2388046,
            "Template edited too often",
            "An approved template can be edited once in 24 hours and 10 times in 30 days.",
        )
    template.edits = [*month, now]
