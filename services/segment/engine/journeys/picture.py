"""A journey as a picture (SVG), with how many are where and which ways were taken. Pure."""

from collections.abc import Iterator, Mapping
from html import escape
from math import sqrt
from typing import Final, NamedTuple

from services.segment.engine.journeys.layout import Box, Plan, Way, arrange
from services.segment.engine.journeys.model import (
    ActionStep,
    BranchStep,
    JourneyRecord,
    SplitStep,
    Step,
    WaitStep,
    WaitUntilStep,
)
from services.segment.engine.journeys.words import Words

_BEGIN: Final = "\x1fbegin"
_WIDTH, _HEIGHT = 248.0, 80.0
_PILL: Final = 30.0
_MARGIN: Final = 32.0
_HEAD: Final = 92.0
_LABEL: Final = 32
_FONT: Final = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


class Ground(NamedTuple):
    """The colours on a light or a dark ground."""

    ground: str
    card: str
    border: str
    text: str
    muted: str
    line: str
    colours: Mapping[str, str]


_LIGHT: Final = Ground(
    "#f6f8fb",
    "#ffffff",
    "#dfe5ee",
    "#0f172a",
    "#5b6b82",
    "#a9b6c8",
    {
        "wait": "#b45309",
        "until": "#7c3aed",
        "branch": "#1d4ed8",
        "split": "#0f766e",
        "send": "#15803d",
        "other": "#be185d",
        "end": "#475569",
    },
)
_DARK: Final = Ground(
    "#0b111d",
    "#141d2d",
    "#2a374c",
    "#e8eef8",
    "#93a4bd",
    "#4b5d78",
    {
        "wait": "#fbbf24",
        "until": "#b794f6",
        "branch": "#7aa7ff",
        "split": "#3fd0bd",
        "send": "#4ade80",
        "other": "#f472b6",
        "end": "#a3b1c6",
    },
)
_ICONS: Final = {
    "wait": '<circle cx="8" cy="8" r="6.2"/><path d="M8 4.6V8l2.3 1.5"/>',
    "until": '<path d="M4 2.2h8M4 13.8h8M5 2.2c0 3.4 6 4.2 6 5.8s-6 2.4-6 5.8'
    'M11 2.2c0 3.4-6 4.2-6 5.8s6 2.4 6 5.8"/>',
    "branch": '<path d="M8 14V9.5M8 9.5L3.2 4.7M8 9.5l4.8-4.8M3 8V4.5h3.5M13 8V4.5H9.5"/>',
    "split": '<path d="M2.5 5h2.3l6 6h2.7M2.5 11h2.3l6-6h2.7M11.8 3.2L13.6 5l-1.8 1.8'
    'M11.8 9.2l1.8 1.8-1.8 1.8"/>',
    "send": '<path d="M14 2L7.2 8.8M14 2L9.8 14l-2.6-5.2L2 6.2z"/>',
    "other": '<path d="M8.8 1.8L3.4 9h4L6.8 14.2 12.6 7h-4z"/>',
}


class Taken(NamedTuple):
    """Ways of a step that lead to the same: what they are called, and how often they were taken."""

    names: list[str]
    passages: int


def draw(
    journey: JourneyRecord,
    waiting: Mapping[str, int],
    passed: Mapping[tuple[str, str], int],
    words: Words,
    dark: bool,
) -> bytes:
    """`waiting`: people by step; `passed`: how often a step was left, by step and outcome."""
    return "".join(
        _Picture(journey, waiting, passed, words, _DARK if dark else _LIGHT).parts
    ).encode()


class _Picture:
    def __init__(
        self,
        journey: JourneyRecord,
        waiting: Mapping[str, int],
        passed: Mapping[tuple[str, str], int],
        words: Words,
        ground: Ground,
    ) -> None:
        self._journey = journey
        self._waiting = waiting
        self._passed = passed
        self._words = words
        self._ground = ground
        self._steps = {step.step_id: step for step in journey.definition.steps}
        self._labels: list[str] = []
        self.parts: list[str] = []
        self._draw()

    def _draw(self) -> None:
        boxes = {_BEGIN: Box(112.0, _PILL)}
        boxes |= {step_id: Box(_WIDTH, _HEIGHT) for step_id in self._steps}
        ways = [Way(_BEGIN, self._journey.definition.steps[0].step_id)]
        taken: dict[tuple[str, str], Taken] = {}
        for step in self._steps.values():
            for target, found in self._ways(step).items():
                place = target or f"\x1f{step.step_id}"
                if not target:
                    boxes[place] = Box(86.0, _PILL)
                ways.append(Way(step.step_id, place))
                taken[step.step_id, place] = found
        plan = arrange(boxes, ways)
        self._begin(plan)
        most = max((one.passages for one in taken.values()), default=0)
        for way in ways:
            self._way(way, taken.get((way.source, way.target)), most)
        for name, box in boxes.items():
            if name in self._steps:
                self._card(self._steps[name], box)
            else:
                self._pill(box, self._words.begin if name == _BEGIN else self._words.end)
        self.parts += [*self._labels, "</g></svg>"]

    def _ways(self, step: Step) -> dict[str, Taken]:
        """By where they lead."""
        found: dict[str, Taken] = {}
        for target, outcomes, name in _outcomes(step, self._words):
            count = sum(self._passed.get((step.step_id, one), 0) for one in outcomes)
            before = found.get(target, Taken([], 0))
            found[target] = Taken(
                [*before.names, name] if name else before.names, before.passages + count
            )
        if isinstance(step.body, ActionStep):
            # Whatever came of it, a failure too, it went on.
            count = sum(n for (step_id, _), n in self._passed.items() if step_id == step.step_id)
            lost = sum(self._passed.get((step.step_id, one), 0) for one in _ENDS)
            found[step.next_step_id] = Taken([], count - lost)
        return found

    def _begin(self, plan: Plan) -> None:
        words, ground = self._words, self._ground
        definition = self._journey.definition
        width = max(plan.width + 2 * _MARGIN, 560.0)
        height = plan.height + _HEAD + 2 * _MARGIN
        title = self._journey.display_name or definition.name
        state = {"paused": words.paused, "archived": words.archived}.get(self._journey.state)
        under = " · ".join(filter(None, (f"{words.version} {definition.version}", state)))
        tallies = [(sum(self._waiting.values()), words.here, ground.colours["wait"])]
        ends = {"goal_reached": "send", "exited": "end", "failed": "other"}
        completed = sum(
            found.passages
            for step in self._steps.values()
            for target, found in self._ways(step).items()
            if not target
        )
        tallies.append((completed, words.completed, ground.colours["branch"]))
        for end, colour in ends.items():
            ended = sum(n for (_, outcome), n in self._passed.items() if outcome == end)
            if ended or end != "failed":
                tallies.append((ended, getattr(words, end), ground.colours[colour]))
        self.parts.append(
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width:.0f}"'
            f' height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
            f' font-family="{_FONT}" lang="{words.code}"><title>{escape(title)}</title>'
            f'<defs><marker id="arrow" viewBox="0 0 10 10" refX="8.5" refY="5" markerWidth="9"'
            f' markerHeight="9" markerUnits="userSpaceOnUse" orient="auto">'
            f'<path d="M1 1.5L8.5 5 1 8.5z" fill="{ground.line}"/></marker></defs>'
            f'<rect width="100%" height="100%" fill="{ground.ground}"/>'
            f"{_text(_MARGIN, 46, _cut(title, int(width / 11)), ground.text, 20, '650')}"
            f"{_text(_MARGIN, 68, under, ground.muted, 12.5)}"
        )
        x = _MARGIN
        for people, name, colour in tallies:
            told = words.number(people)
            self.parts.append(
                f'<circle cx="{x + 4:.1f}" cy="92" r="4" fill="{colour}"/>'
                f"{_text(x + 14, 96.5, told, ground.text, 13, '650')}"
                f"{_text(x + 20 + 8 * len(told), 96.5, name, ground.muted, 13)}"
            )
            x += 44 + 8 * len(told) + 6.6 * len(name)
        left = (width - plan.width) / 2
        self.parts.append(f'<g transform="translate({left:.1f} {_HEAD + _MARGIN:.1f})">')

    def _way(self, way: Way, taken: Taken | None, most: int) -> None:
        weight = 1.5
        if taken and taken.passages and most:
            weight += 4.0 * sqrt(taken.passages / most)
        dash = "" if taken is None or taken.passages else ' stroke-dasharray="2 5"'
        self.parts.append(
            f'<path d="{_back(way) if way.back else _curve(way)}" fill="none"'
            f' stroke="{self._ground.line}" stroke-width="{weight:.2f}" stroke-linecap="round"'
            f'{dash} marker-end="url(#arrow)"/>'
        )
        if taken is None:
            return
        name = _cut(" / ".join(taken.names), _LABEL)
        count = self._words.number(taken.passages)
        if way.back:
            x, y = way.points[1][0], (way.points[1][1] + way.points[2][1]) / 2
        else:
            (x0, y0), (x1, y1) = way.points[:2]
            x, y = x0 + (x1 - x0) * 0.68, y0 + (y1 - y0) * 0.6
        self._label(x, y, name, count)

    def _label(self, x: float, y: float, name: str, count: str) -> None:
        ground = self._ground
        width = 18 + 6.1 * len(name) + 7.0 * len(count) + (7 if name else 0)
        left = x - width / 2
        told = f'<tspan fill="{ground.text}" font-weight="650">{count}</tspan>'
        if name:
            told = f'<tspan fill="{ground.muted}">{escape(name)}&#160;&#160;</tspan>{told}'
        self._labels.append(
            f'<rect x="{left:.1f}" y="{y - 11:.1f}" width="{width:.1f}" height="22" rx="11"'
            f' fill="{ground.ground}" stroke="{ground.border}"/>'
            f'<text x="{x:.1f}" y="{y + 4:.1f}" font-size="11.5" text-anchor="middle">{told}</text>'
        )

    def _card(self, step: Step, box: Box) -> None:
        ground, words = self._ground, self._words
        kind = _kind(step)
        colour = ground.colours[kind]
        left, top = box.x - box.width / 2, box.y
        here = self._waiting.get(step.step_id, 0)
        detail, name = words.detail(step.body), step.display_name or step.step_id
        self.parts.append(
            f'<g transform="translate({left:.1f} {top:.1f})">'
            f"<title>{escape(f'{step.step_id}: {detail}')}</title>"
            f'<rect width="{box.width:.0f}" height="{box.height:.0f}" rx="14" fill="{ground.card}"'
            f' stroke="{ground.border}" stroke-width="1.2"/>'
            f'<rect x="14" y="14" width="30" height="30" rx="9" fill="{colour}" opacity="0.16"/>'
            f'<g transform="translate(21 21)" fill="none" stroke="{colour}" stroke-width="1.6"'
            f' stroke-linecap="round" stroke-linejoin="round">{_ICONS[kind]}</g>'
            f"{_text(54, 26, _cut(words.kind(step.body), 22), colour, 11, '600')}"
            f"{_text(54, 42, _cut(name, 24), ground.text, 14, '600')}"
            f"{_text(16, 65, _cut(detail, 36), ground.muted, 11.5)}"
        )
        if here:
            told = words.number(here)
            width = 16 + 7.4 * len(told)
            self.parts.append(
                f'<rect x="{box.width - 14 - width:.1f}" y="-11" width="{width:.1f}" height="22"'
                f' rx="11" fill="{colour}"><title>{escape(words.here)}</title></rect>'
                f'<text x="{box.width - 14 - width / 2:.1f}" y="4.3" font-size="12"'
                f' font-weight="700" text-anchor="middle" fill="{ground.card}">{told}</text>'
            )
        self.parts.append("</g>")
        lost = [
            f"{words.number(n)} {getattr(words, end)}"
            for end in (*_ENDS, "migrated")
            if (n := self._passed.get((step.step_id, end), 0))
        ]
        if lost:
            told = _cut(" · ".join(lost), 44)
            self._labels.append(
                f'<text x="{left + 16:.1f}" y="{top + box.height + 15:.1f}" font-size="10.5"'
                f' fill="{ground.muted}" stroke="{ground.ground}" stroke-width="5"'
                f' paint-order="stroke">{escape(told)}</text>'
            )

    def _pill(self, box: Box, name: str) -> None:
        ground = self._ground
        self.parts.append(
            f'<rect x="{box.x - box.width / 2:.1f}" y="{box.y:.1f}" width="{box.width:.0f}"'
            f' height="{box.height:.0f}" rx="{box.height / 2:.0f}" fill="{ground.card}"'
            f' stroke="{ground.border}" stroke-width="1.2"/>'
            f'<text x="{box.x:.1f}" y="{box.y + 19.5:.1f}" font-size="12" font-weight="600"'
            f' text-anchor="middle" fill="{ground.colours["end"]}">{escape(name)}</text>'
        )


_ENDS: Final = ("goal_reached", "exited", "failed")


def _outcomes(step: Step, words: Words) -> Iterator[tuple[str, list[str], str]]:
    """Where a step can lead, by which outcomes, and what that is called."""
    match step.body:
        case WaitUntilStep(timeout=timeout, timeout_step_id=target):
            yield step.next_step_id, ["held"], words.held
            if timeout is not None:
                yield target, ["timeout"], words.timeout
        case BranchStep(cases=cases):
            for number, case in enumerate(cases, 1):
                yield case.step_id, [f"case {number}"], case.expression
            yield step.next_step_id, ["else"], words.otherwise
        case SplitStep(arms=arms):
            whole = sum(arm.weight for arm in arms)
            for arm in arms:
                yield arm.step_id, [arm.name], f"{arm.name} {words.share(arm.weight, whole)}"
        case _:
            yield step.next_step_id, ["done"], ""


def _kind(step: Step) -> str:
    match step.body:
        case WaitStep():
            return "wait"
        case WaitUntilStep():
            return "until"
        case BranchStep():
            return "branch"
        case SplitStep():
            return "split"
        case ActionStep(action=action):
            return "send" if action.__struct_config__.tag == "send" else "other"


def _curve(way: Way) -> str:
    (x, y), *rest = way.points
    path = f"M{x:.1f} {y:.1f}"
    for to_x, to_y in rest:
        middle = (y + to_y) / 2
        path += f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}"
        x, y = to_x, to_y
    return path


def _back(way: Way) -> str:
    """Out at the side, up, and in again, with round corners."""
    (x0, y0), (lane, y1), (_, y2), (x3, y3) = way.points
    down = 14.0 if y2 > y1 else -14.0
    if y1 == y2:
        # To itself: a loop.
        return (
            f"M{x0:.1f} {y0 + 14:.1f}C{lane:.1f} {y0 + 14:.1f} {lane:.1f} {y0 - 14:.1f}"
            f" {x3:.1f} {y3 - 14:.1f}"
        )
    return (
        f"M{x0:.1f} {y0:.1f}H{lane - 14:.1f}Q{lane:.1f} {y1:.1f} {lane:.1f} {y1 + down:.1f}"
        f"V{y2 - down:.1f}Q{lane:.1f} {y2:.1f} {lane - 14:.1f} {y2:.1f}H{x3:.1f}"
    )


def _text(x: float, y: float, told: str, colour: str, size: float, weight: str = "400") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}"'
        f' fill="{colour}">{escape(told)}</text>'
    )


def _cut(text: str, most: int) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= most else f"{plain[: most - 1].rstrip()}…"
