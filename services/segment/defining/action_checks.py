"""Whether an action can be done: what it names is there, and its values have their types. Pure."""

from dataclasses import dataclass
from typing import Final

from chassis.addresses import OutboundRefused, checked
from chassis.failures import FieldInvalid
from expressions import Expression, ExpressionError
from expressions.schema import Type
from services.segment.engine.actions import (
    Action,
    SetAction,
    StartAction,
    WebhookAction,
    source_path,
    sources_of,
)
from services.segment.engine.definitions import Catalogue, Sources
from services.segment.failures import ExpressionInvalid, ReferenceNotFound

_MOST_PARAMETERS: Final = 100
_FITS: Final = frozenset({("int", "double"), ("string", "date"), ("string", "timestamp")})
"""What is of the one type may be of the other."""


@dataclass(frozen=True, slots=True)
class Webhooks:
    """What webhooks may be."""

    secret_names: frozenset[str] = frozenset()
    inside: bool = False
    """Whether they may go to addresses inside our own network, without TLS."""


def check_action(
    sources: Sources,
    webhooks: Webhooks,
    catalogue: Catalogue,
    action: Action,
    path: str,
    event: str | None,
    given: tuple[str, ...] = (),
) -> list[Expression]:
    """Its expressions; raises what is wrong with it. `path`: where it stands."""
    match action:
        case WebhookAction():
            _check_webhook(webhooks, action, f"{path}.webhook")
        case StartAction(journey_id=journey_id):
            journey = catalogue.journeys.get(journey_id)
            if journey is None or journey.state == "archived":
                raise ReferenceNotFound(f"{path}.start.journey_id", "journey", journey_id)
        case _:
            pass
    named = sources_of(action)
    if len(named) > _MOST_PARAMETERS:
        raise FieldInvalid(path, "more than 100 parameters", limit=str(_MOST_PARAMETERS))
    found = {
        name: sources.compile(
            catalogue, f"{path}.{source_path(action, name)}", source, event, "", given
        )
        for name, source in named.items()
    }
    if isinstance(action, SetAction):
        kind = _attribute(sources, action, f"{path}.set.attribute_name")
        for expression in found.values():
            _check_type(expression, kind, f"{path}.set.expression")
    return list(found.values())


def _check_webhook(webhooks: Webhooks, action: WebhookAction, path: str) -> None:
    try:
        checked(action.url, webhooks.inside)
    except OutboundRefused as refused:
        raise FieldInvalid(f"{path}.url", f"{refused}; write https://host/path") from None
    if action.secret_name not in webhooks.secret_names:
        raise FieldInvalid(
            f"{path}.secret_name",
            f"no secret is named {action.secret_name}; put it into the setting WEBHOOK_SECRETS",
        )


def _attribute(sources: Sources, action: SetAction, path: str) -> Type:
    name = action.attribute_name
    kind = sources.vocabulary(None).attributes.get(name)
    if kind is None:
        raise ReferenceNotFound(path, "attribute", name)
    if name.startswith("traits.") or name in ("stage", "zone", "weather"):
        raise FieldInvalid(path, f"{name} is computed; set an attribute of your own")
    return kind


def _check_type(expression: Expression, kind: Type, path: str) -> None:
    found, wanted = str(expression.result_type), str(kind)
    if "dyn" in (found, wanted) or found == wanted or (found, wanted) in _FITS:
        return
    problem = f"it is of type {found}, and the attribute of type {wanted}"
    source = expression.source
    raise ExpressionInvalid(path, ExpressionError(source, 0, len(source), problem, wanted))
