"""What stands in the picture of a journey, in English and Turkish. Pure."""

from typing import Final, NamedTuple

from services.segment.engine.actions import (
    Action,
    SendAction,
    SetAction,
    StartAction,
    WebhookAction,
)
from services.segment.engine.journeys.model import (
    ActionStep,
    Body,
    BranchStep,
    SplitStep,
    WaitStep,
    WaitUntilStep,
)

_MINUTE: Final = 60_000
_UNITS: Final = (1_440 * _MINUTE, 60 * _MINUTE, _MINUTE, 1_000)


class Words(NamedTuple):
    """One language."""

    code: str
    thousands: str
    units: tuple[str, str, str, str]
    days: tuple[str, str]
    weekdays: tuple[str, ...]
    wait: str
    wait_until: str
    branch: str
    split: str
    send: str
    webhook: str
    set: str
    start: str
    begin: str
    end: str
    until: str
    at_most: str
    otherwise: str
    held: str
    timeout: str
    skipped: str
    here: str
    completed: str
    goal_reached: str
    exited: str
    failed: str
    migrated: str
    goal: str
    version: str
    paused: str
    archived: str
    ways: str
    arms: str

    def number(self, count: int) -> str:
        """With marks between the thousands."""
        return f"{count:,}".replace(",", self.thousands)

    def share(self, part: int, whole: int) -> str:
        """In per cent."""
        percent = round(part * 100 / whole)
        return f"%{percent}" if self.code == "tr" else f"{percent}%"

    def span(self, milliseconds: int) -> str:
        """The two largest units of a span."""
        parts = []
        for size, unit in zip(_UNITS, self.units, strict=True):
            if count := milliseconds // size:
                parts.append(f"{count} {unit}")
                milliseconds %= size
        return " ".join(parts[:2])

    def kind(self, body: Body) -> str:
        """What a step does, in a word."""
        match body:
            case WaitStep():
                return self.wait
            case WaitUntilStep():
                return self.wait_until
            case BranchStep():
                return self.branch
            case SplitStep():
                return self.split
            case ActionStep(action=action):
                return self._doing(action)

    def detail(self, body: Body) -> str:
        """How it does that, in a line."""
        match body:
            case WaitStep() as wait:
                return self._waiting(wait)
            case WaitUntilStep(expression=source, timeout=timeout):
                return (
                    source if timeout is None else f"{self.at_most} {self.span(timeout)} · {source}"
                )
            case BranchStep(cases=cases):
                return f"{len(cases) + 1} {self.ways}"
            case SplitStep(arms=arms):
                return f"{len(arms)} {self.arms}"
            case ActionStep(action=SendAction(campaign_id=campaign_id)):
                return campaign_id
            case ActionStep(action=SetAction(attribute_name=name, expression=source)):
                return f"{name} = {source}"
            case ActionStep(action=StartAction(journey_id=journey_id)):
                return journey_id
            case ActionStep(action=WebhookAction(url=url)):
                return url.split("//", 1)[-1]
            case _:
                return ""

    def _doing(self, action: Action) -> str:
        match action:
            case SendAction():
                return self.send
            case SetAction():
                return self.set
            case StartAction():
                return self.start
            case _:
                return self.webhook

    def _waiting(self, wait: WaitStep) -> str:
        parts = [self.span(wait.duration)] if wait.duration else []
        if wait.days:
            parts.append(f"{wait.days} {self.days[wait.days > 1]}")
        if wait.weekdays or wait.time_of_day:
            days = self._days(sorted(set(wait.weekdays)))
            parts.append(" ".join(filter(None, (self.until, wait.time_of_day, days))))
        return " · ".join(parts)

    def _days(self, days: list[int]) -> str:
        """`Mon–Fri` where they follow each other."""
        if len(days) > 2 and days[-1] - days[0] == len(days) - 1:
            return f"{self.weekdays[days[0] - 1]}–{self.weekdays[days[-1] - 1]}"
        return ", ".join(self.weekdays[day - 1] for day in days)


ENGLISH: Final = Words(
    code="en",
    thousands=",",
    units=("d", "h", "min", "s"),
    days=("day", "days"),
    weekdays=("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    wait="Wait",
    wait_until="Wait until",
    branch="Branch",
    split="Split",
    send="Send",
    webhook="Webhook",
    set="Set attribute",
    start="Start journey",
    begin="Start",
    end="End",
    until="until",
    at_most="at most",
    otherwise="else",
    held="happened",
    timeout="timed out",
    skipped="skipped",
    here="here now",
    completed="completed",
    goal_reached="reached the goal",
    exited="left",
    failed="failed",
    migrated="moved to a new version",
    goal="Goal",
    version="version",
    paused="paused",
    archived="archived",
    ways="ways",
    arms="arms",
)
TURKISH: Final = Words(
    code="tr",
    thousands=".",
    units=("g", "sa", "dk", "sn"),
    days=("gün", "gün"),
    weekdays=("Pzt", "Sal", "Çar", "Per", "Cum", "Cmt", "Paz"),
    wait="Bekle",
    wait_until="Şuna kadar bekle",
    branch="Dallan",
    split="Böl",
    send="Gönder",
    webhook="Webhook",
    set="Alanı yaz",
    start="Yolculuk başlat",
    begin="Başlangıç",
    end="Bitiş",
    until="şu ana dek:",
    at_most="en çok",
    otherwise="değilse",
    held="oldu",
    timeout="süre doldu",
    skipped="atlandı",
    here="şu an burada",
    completed="tamamladı",
    goal_reached="hedefe ulaştı",
    exited="ayrıldı",
    failed="başarısız",
    migrated="yeni sürüme geçti",
    goal="Hedef",
    version="sürüm",
    paused="duraklatıldı",
    archived="arşivlendi",
    ways="yol",
    arms="kol",
)
WORDS: Final = {"": ENGLISH, "en": ENGLISH, "tr": TURKISH}
