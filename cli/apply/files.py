"""Files of declarations, read: which things they say there are, and where they say it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import yaml
from google.protobuf.message import Message

from cli.apply.filling import Wrong, filled, scalar
from cli.apply.kinds import KINDS, Kind, Reference
from merhaba.segment.v1 import Trigger
from merhaba.sender.v1 import Campaign

_SUFFIXES: Final = (".yaml", ".yml")
_MOST_BYTES: Final = 1024 * 1024
_MOST_NODES: Final = 100_000  # aliases counted as often as they stand for something
_DEEPEST: Final = 50
_STEP: Final = re.compile(r"[^.\[\]]+")
_USED: Final = {
    "segment": re.compile(r"""\bsegment\(\s*(["'])([^"']+)\1\s*\)"""),
    "place": re.compile(r"""\bnear\(\s*(["'])([^"']+)\1"""),
}
_OF_A_FILE: Final = ("kind", "paused")


class Mistake(NamedTuple):
    """Something in a file that cannot be."""

    file: Path
    line: int
    said: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.said}"


@dataclass(slots=True)
class Declared:
    """One thing that a file says there is."""

    file: Path
    kind: Kind
    name: str
    message: Message
    node: yaml.MappingNode
    references: list[Reference] = field(default_factory=list)
    paused: bool | None = None
    """None: the file does not say."""

    @property
    def line(self) -> int:
        """Where it begins."""
        return self.node.start_mark.line + 1

    def mistake(self, said: str, path: str = "") -> Mistake:
        """A mistake at a field, by its path as services tell it: `trigger.action.send.url`."""
        return Mistake(self.file, self._line(path), f"{self.kind.name} {self.name}: {said}")

    def names(self, kind: str) -> set[str]:
        """The names of that kind in its expressions, and those it refers to."""
        found = {one.name for one in self.references if one.kind == kind}
        if pattern := _USED.get(kind):
            found |= {name for text in _texts(self.node) for _, name in pattern.findall(text)}
        if kind == "template" and isinstance(self.message, Campaign):
            found |= {one.template_name for one in self.message.variants}
        if kind == "place" and isinstance(self.message, Trigger):
            found |= {*self.message.place.place_ids}
        return found

    def is_block(self, path: str) -> bool:
        """Whether what stands at a path is a text over several lines, as it is in the file."""
        node = self._node(path)
        return isinstance(node, yaml.ScalarNode) and node.style == "|"

    def _line(self, path: str) -> int:
        node = self._node(path)
        indicated = isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")
        return int(node.start_mark.line) + 1 + indicated

    def _node(self, path: str) -> yaml.Node:
        """What stands at a path, as deep as the file goes."""
        node: yaml.Node = self.node
        for step in _STEP.findall(path)[1:]:
            inner = _inner(node, step)
            if inner is None:
                break
            node = inner
        return node


def read(paths: Iterable[Path]) -> tuple[list[Declared], list[Mistake]]:
    """What all files, and all in folders, declare, and what is wrong in them. Raises `OSError`."""
    found: list[Declared] = []
    mistakes: list[Mistake] = []
    for file in _files(paths):
        try:
            text = file.read_bytes()[: _MOST_BYTES + 1]
            if len(text) > _MOST_BYTES:
                mistakes.append(Mistake(file, 1, "over 1 MiB; split it"))
                continue
            for node in yaml.compose_all(text, yaml.SafeLoader):
                if node is not None:
                    try:
                        _check_size(node)
                        found.append(_declared(file, node))
                    except Wrong as wrong:
                        mistakes.append(Mistake(file, wrong.line, wrong.said))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            mark = getattr(error, "problem_mark", None)
            said = getattr(error, "problem", None) or "not text in UTF-8"
            mistakes.append(Mistake(file, mark.line + 1 if mark else 1, f"not YAML: {said}"))
        except RecursionError:
            mistakes.append(Mistake(file, 1, "nested too deeply"))
    first: dict[tuple[str, str], Declared] = {}
    for one in found:
        other = first.setdefault((one.kind.name, one.name), one)
        if other is not one:
            mistakes.append(one.mistake(f"declared before, at {other.file}:{other.line}"))
    return list(first.values()), mistakes


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix in _SUFFIXES)
        else:
            yield path


def _check_size(node: yaml.Node) -> None:
    """Raises `Wrong` for what would never end when it is read: a few lines of aliases of aliases
    can stand for more than fits anywhere, or for themselves."""
    waiting, count = [(node, 0)], 0
    while waiting:
        one, depth = waiting.pop()
        count += 1
        if depth > _DEEPEST or count > _MOST_NODES:
            raise Wrong(node, f"over {_DEEPEST} levels or {_MOST_NODES:,} values, with its aliases")
        if isinstance(one, yaml.MappingNode):
            waiting += [(inner, depth + 1) for pair in one.value for inner in pair]
        elif isinstance(one, yaml.SequenceNode):
            waiting += [(inner, depth + 1) for inner in one.value]


def _declared(file: Path, node: yaml.Node) -> Declared:
    if not isinstance(node, yaml.MappingNode):
        raise Wrong(node, "write `kind: segment`, `name: …` and what it is")
    said = {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    kinds = {kind.name: kind for kind in KINDS}
    if "kind" not in said:
        raise Wrong(node, f"kind is missing: one of {', '.join(kinds)}")
    kind = kinds.get(scalar(said["kind"]))
    if kind is None:
        raise Wrong(said["kind"], f"there is no kind {said['kind'].value}: {', '.join(kinds)}")
    for key in (kind.key, *kind.with_key):
        if key not in said:
            raise Wrong(node, f"{key} is missing: by it a {kind.name} is known")
    paused = None
    if "paused" in said:
        if not kind.pauses or scalar(said["paused"]) not in ("true", "false"):
            raise Wrong(said["paused"], "only triggers and journeys are `paused: true` or `false`")
        paused = scalar(said["paused"]) == "true"
    rest = [(key, value) for key, value in node.value if key.value not in _OF_A_FILE]
    message = kind.noun()
    references: list[Reference] = []
    filled(message, _with(node, rest), references, [kind.key, *kind.fields])
    keys = (kind.key, *kind.with_key, *(key for key in kind.with_key_maybe if key in said))
    name = " ".join(scalar(said[key]) for key in keys)
    return Declared(file, kind, name, message, node, references, paused)


def _with(node: yaml.MappingNode, pairs: list[tuple[yaml.Node, yaml.Node]]) -> yaml.MappingNode:
    return yaml.MappingNode(node.tag, pairs, node.start_mark, node.end_mark)


def _inner(node: yaml.Node, step: str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode):
        return node.value[int(step)] if step.isdigit() and int(step) < len(node.value) else None
    if not isinstance(node, yaml.MappingNode):
        return None
    said = {key.value: value for key, value in node.value}
    return said.get(step) or said.get(step.removesuffix("_id"))


def _texts(node: yaml.Node) -> Iterator[str]:
    if isinstance(node, yaml.ScalarNode):
        yield node.value
    elif isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from _texts(value)
    else:
        for one in node.value:
            yield from _texts(one)
