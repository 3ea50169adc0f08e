"""Where steps stand in a picture: in layers, with few crossings and short ways. Pure.

After Sugiyama: ways back are set aside, steps get layers, long ways get a stand-in in each layer
they pass, each layer is ordered by where its neighbours are, and then everybody moves as near to
them as the layer allows. All lengths are in pixels.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

GAP_X: Final = 36.0
GAP_Y: Final = 74.0
_LANE: Final = 22.0
"""Between ways back, at the side."""
_ASIDE: Final = 60.0
"""For what stands at them."""
_SWEEPS: Final = 12


@dataclass(slots=True)
class Box:
    """Something that stands in the picture; `x` is its middle, `y` its top."""

    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    layer: int = 0
    order: float = 0.0
    above: list[str] = field(default_factory=list)
    below: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Way:
    """From a box to another. `points` are where it goes through, `back` whether it leads up."""

    source: str
    target: str
    back: bool = False
    points: list[tuple[float, float]] = field(default_factory=list)


@dataclass(slots=True)
class Plan:
    """Everything has its place."""

    width: float
    height: float


def arrange(boxes: dict[str, Box], ways: Sequence[Way]) -> Plan:
    """Give boxes their places and ways their points. Boxes stand in reading order."""
    _set_aside(boxes, ways)
    _layer(boxes, ways)
    every = dict(boxes)
    chains = _chains(every, ways)
    layers: list[list[str]] = [[] for _ in range(max(box.layer for box in boxes.values()) + 1)]
    for name, box in every.items():
        layers[box.layer].append(name)
    _order(every, layers)
    _align(every, layers)
    left = min(box.x - box.width / 2 for box in every.values())
    top = 0.0
    for layer in layers:
        for name in layer:
            every[name].x -= left
            every[name].y = top
        top += max(every[name].height for name in layer) + GAP_Y
    for way, chain in zip(ways, chains, strict=True):
        if not way.back:
            way.points = _points([every[name] for name in chain])
    width = max(box.x + box.width / 2 for box in every.values())
    width = _lead_back(boxes, [way for way in ways if way.back], width)
    return Plan(width, top - GAP_Y)


def _set_aside(boxes: dict[str, Box], ways: Sequence[Way]) -> None:
    """Find the ways that lead back to where one came from."""
    onward: dict[str, list[Way]] = {name: [] for name in boxes}
    for way in ways:
        onward[way.source].append(way)
    done: set[str] = set()
    for first in boxes:
        path: dict[str, None] = {}
        todo: list[str] = [] if first in done else [first]
        while todo:
            name = todo[-1]
            path[name] = None
            if not onward[name]:
                todo.pop()
                path.pop(name)
                done.add(name)
                continue
            way = onward[name].pop(0)
            if way.target in path:
                way.back = True
            elif way.target not in done:
                todo.append(way.target)


def _layer(boxes: dict[str, Box], ways: Sequence[Way]) -> None:
    """Below everything that leads there."""
    ahead = [way for way in ways if not way.back]
    changed = True
    while changed:
        changed = False
        for way in ahead:
            lowest = boxes[way.source].layer + 1
            if boxes[way.target].layer < lowest:
                boxes[way.target].layer = lowest
                changed = True


def _chains(every: dict[str, Box], ways: Sequence[Way]) -> list[list[str]]:
    """Through which boxes and stand-ins each way goes."""
    chains = []
    for number, way in enumerate(ways):
        chain = [way.source]
        if not way.back:
            for layer in range(every[way.source].layer + 1, every[way.target].layer):
                chain.append(f"\x1f{number} {layer}")
                every[chain[-1]] = Box(12.0, 0.0, layer=layer)
            chain.append(way.target)
            for upper, lower in itertools.pairwise(chain):
                every[upper].below.append(lower)
                every[lower].above.append(upper)
        chains.append(chain)
    return chains


def _order(every: dict[str, Box], layers: list[list[str]]) -> None:
    """Sort each layer by where its neighbours stand, down and up again; keep the best."""

    def number() -> None:
        for layer in layers:
            for position, name in enumerate(layer):
                every[name].order = position

    def middle(name: str, beside: list[str]) -> float:
        if not beside:
            return every[name].order
        return sum(every[one].order for one in beside) / len(beside)

    number()
    best = [list(layer) for layer in layers]
    fewest = _crossings(every, layers)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            layer.sort(key=lambda n: middle(n, every[n].above if down else every[n].below))
            for position, name in enumerate(layer):
                every[name].order = position
        crossings = _crossings(every, layers)
        if crossings < fewest:
            fewest, best = crossings, [list(layer) for layer in layers]
    layers[:] = best
    number()


def _crossings(every: dict[str, Box], layers: list[list[str]]) -> int:
    found = 0
    for layer in layers:
        ends = [
            every[low].order
            for name in layer
            for low in sorted(every[name].below, key=lambda one: every[one].order)
        ]
        found += sum(1 for at, one in enumerate(ends) for other in ends[:at] if other > one)
    return found


def _align(every: dict[str, Box], layers: list[list[str]]) -> None:
    """Move everybody as near to the neighbours as the layer allows."""
    for layer in layers:
        _spread([every[name] for name in layer], [0.0] * len(layer))
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            boxes = [every[name] for name in layer]
            wanted = []
            for box in boxes:
                beside = (box.above or box.below) if down else (box.below or box.above)
                near = [every[one].x for one in beside]
                wanted.append(sum(near) / len(near) if near else box.x)
            _spread(boxes, wanted)


def _spread(boxes: Sequence[Box], wanted: Sequence[float]) -> None:
    """As near to where each wants to be as can be (least squares), in this order, with gaps: pool
    adjacent violators."""
    offsets = [0.0]
    for one, other in itertools.pairwise(boxes):
        offsets.append(offsets[-1] + (one.width + other.width) / 2 + GAP_X)
    pools: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        mean, size = want - offset, 1
        while pools and pools[-1][0] > mean:
            before, count = pools.pop()
            mean = (before * count + mean * size) / (count + size)
            size += count
        pools.append((mean, size))
    places = [mean for mean, size in pools for _ in range(size)]
    for box, place, offset in zip(boxes, places, offsets, strict=True):
        box.x = place + offset


def _points(chain: Sequence[Box]) -> list[tuple[float, float]]:
    first, *between, last = chain
    through = [(box.x, box.y) for box in between]
    return [(first.x, first.y + first.height), *through, (last.x, last.y)]


def _lead_back(boxes: dict[str, Box], ways: Sequence[Way], width: float) -> float:
    """Ways back go up at the right side, the shortest innermost; returns the width with them."""
    for way in sorted(ways, key=lambda w: boxes[w.source].layer - boxes[w.target].layer):
        source, target = boxes[way.source], boxes[way.target]
        layers = range(target.layer, source.layer + 1)
        beside = max(b.x + b.width / 2 for b in boxes.values() if b.layer in layers)
        lane = max(beside, *(x for w in ways for x, _ in w.points), 0.0) + _LANE
        start = source.x + source.width / 2, source.y + source.height / 2
        end = target.x + target.width / 2, target.y + target.height / 2
        way.points = [start, (lane, start[1]), (lane, end[1]), end]
        width = max(width, lane + _ASIDE)
    return width
