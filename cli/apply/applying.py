"""From what files declare to a plan, and from the plan to what stands."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from chassis.failures import Failure, Invalid
from cli.apply.files import Declared, Mistake
from cli.apply.kinds import KINDS, MARK, SEGMENT, TEMPLATE, Kind, Reference
from cli.apply.plan import Change, Step, described, differences, ordered
from cli.apply.services import Services

_WRONG: Final = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.UNIMPLEMENTED,
)
"""Answers that are about what was declared, and not about how the services are."""


class Refused(Exception):
    """A service would not do a step."""

    def __init__(self, mistake: Mistake | str) -> None:
        super().__init__(str(mistake))


class Applying:
    """Reads what stands once, plans by it, and does what was planned."""

    def __init__(self, services: Services, name: str) -> None:
        """`name`: of what is applied together."""
        self._services = services
        self._label = MARK + name
        self._standing: dict[str, dict[str, Any]] = {}

    async def plan(
        self, declared: Sequence[Declared], prune: bool
    ) -> tuple[list[Step], list[Mistake]]:
        """What is to be done, and what cannot be. Nothing is changed."""
        for kind in KINDS:
            named = any(one.kind is kind or one.names(kind.name) for one in declared)
            if named or (prune and kind.labelled):
                self._standing[kind.name] = await (await self._services.keeper(kind)).all()
        steps: list[Step] = []
        mistakes: list[Mistake] = []
        new: set[tuple[str, str]] = set()
        for one in ordered(declared):
            try:
                step = await self._step(one, new)
            except _Wrong as wrong:
                mistakes += wrong.mistakes
            else:
                steps.append(step)
            if one.name not in self._standing[one.kind.name]:
                new.add((one.kind.name, one.name))
        if prune:
            steps += self._archived({(one.kind.name, one.name) for one in declared})
        return steps, sorted(mistakes)

    async def do(self, step: Step) -> None:
        """One step of the plan. Raises `Refused`."""
        keeper = await self._services.keeper(step.kind)
        try:
            if step.declared is None:
                await keeper.archive(step.standing)
                return
            await self._refer(step.declared)
            if step.verb == "make":
                made = await keeper.make(step.declared)
                self._standing[step.kind.name][step.name] = made
            else:
                await keeper.change(step.declared, step.standing, step.fields)
        except (Failure, grpc.aio.AioRpcError) as error:
            if step.declared is None:
                raise Refused(f"{step.kind.name} {step.name}: {_said(error)}") from error
            raise Refused(_mistake(step.declared, error)) from error

    async def _step(self, one: Declared, new: Collection[tuple[str, str]]) -> Step:
        standing = self._standing[one.kind.name].get(one.name)
        if standing is not None and _archived(standing):
            said = "the name is taken by an archived one; choose another"
            raise _Wrong([one.mistake(said, f"{one.kind.name}.{one.kind.key}")])
        if one.kind.labelled:
            labels: Any = one.message.labels  # type: ignore[attr-defined]
            if any(label.startswith(MARK) for label in labels):
                raise _Wrong([one.mistake(f"labels of {MARK}… are not for files to say")])
            labels.append(self._label)
        missing = await self._refer(one, new)
        waits = missing + [
            f"{kind} {name}"
            for kind, name in sorted(new)
            if _called(kind, name) in one.names(kind) and f"{kind} {name}" not in missing
        ]
        after: Message = one.message
        if not waits:
            try:
                after = await (await self._services.keeper(one.kind)).check(one, standing)
            except Invalid as error:
                raise _Wrong([_mistake(one, error)]) from error
            except grpc.aio.AioRpcError as error:
                if error.code() not in _WRONG:
                    raise
                raise _Wrong([_mistake(one, error)]) from error
        if standing is None:
            return Step(
                "make", one.kind, one.name, one, None, described(one.kind, after), (), waits
            )
        found = differences(one.kind, standing, after)
        if one.paused is not None and one.paused != _paused(one.kind, standing):
            found["paused"] = [Change("paused", not one.paused, one.paused)]
        changes = [change for each in found.values() for change in each]
        verb: Any = "change" if found else "leave"
        return Step(verb, one.kind, one.name, one, standing, changes, list(found), waits)

    async def _refer(self, one: Declared, new: Collection[tuple[str, str]] = ()) -> list[str]:
        """Put ids where names stand; returns what is yet to be made."""
        missing: list[str] = []
        mistakes: list[Mistake] = []
        for reference in one.references:
            if (reference.kind, reference.name) in new:
                missing.append(f"{reference.kind} {reference.name}")
                continue
            found = await self._ids(reference)
            if len(found) == 1:
                setattr(reference.message, reference.field, found[0])
                continue
            said = f"there is no {reference.kind} {reference.name}"
            if found:
                said = f"{len(found)} of that name: write {reference.field}, one of {found}"
            mistakes.append(
                Mistake(one.file, reference.line, f"{one.kind.name} {one.name}: {said}")
            )
        if mistakes:
            raise _Wrong(mistakes)
        return missing

    async def _ids(self, reference: Reference) -> list[str]:
        kind, name = reference.kind, reference.name
        if kind == "campaign":
            return await (await self._services.campaigns()).ids(name)
        standing = self._standing[kind].get(name)
        if standing is None or _archived(standing):
            return []
        return [getattr(standing, f"{kind}_id")]

    def _archived(self, declared: Collection[tuple[str, str]]) -> list[Step]:
        """What was applied under the same name and is declared no longer: users first."""
        return [
            Step("archive", kind, name, standing=one)
            for kind in reversed(KINDS)
            if kind.labelled
            for name, one in _users_first(kind, self._standing[kind.name])
            if self._label in one.labels
            and (kind.name, name) not in declared
            and not _archived(one)
        ]


class _Wrong(Exception):
    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__()
        self.mistakes = mistakes


def _users_first(kind: Kind, standing: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    if kind is not SEGMENT:
        return sorted(standing.items())
    found: list[str] = []

    def add(name: str) -> None:
        """After whoever uses it."""
        if name in found:
            return
        for user, one in sorted(standing.items()):
            if name in one.analysis.segment_names and user != name:
                add(user)
        found.append(name)

    for name in sorted(standing):
        add(name)
    return [(name, standing[name]) for name in found]


def _called(kind: str, name: str) -> str:
    """What others call it by: templates without their language."""
    return name.partition(" ")[0] if kind == TEMPLATE.name else name


def _archived(standing: Any) -> bool:
    return hasattr(standing, "STATE_ARCHIVED") and standing.state == standing.STATE_ARCHIVED


def _paused(kind: Kind, standing: Any) -> bool:
    return kind.pauses and standing.state == standing.STATE_PAUSED


def _mistake(one: Declared, error: Failure | grpc.aio.AioRpcError) -> Mistake:
    """What a service said, at the place of the file that it is about."""
    facts = error.facts if isinstance(error, Failure) else _facts(error)
    path = facts.get("field", "")
    mistake = one.mistake(_said(error), path)
    within = facts.get("line", "")
    if one.is_block(path) and within.isdigit():
        return mistake._replace(line=mistake.line + int(within) - 1)
    return mistake


def _said(error: Failure | grpc.aio.AioRpcError) -> str:
    return error.message if isinstance(error, Failure) else str(error.details())


def _facts(error: grpc.aio.AioRpcError) -> dict[str, str]:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it takes what has the metadata
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            return dict(info.metadata)
    return {}
