"""Which fields a caller asks for, and which of these it may see."""

from bisect import insort
from collections.abc import Callable, Iterable
from typing import Final

from google.protobuf.descriptor import Descriptor

from chassis.failures import FieldInvalid
from services.profile.person.part import Part
from services.profile.person.roles import ALWAYS, INTERNAL, Sight

_BY_NAME: Final = ("attributes", "traits")
"""Fields of which a mask may name single entries."""
_VALUES: Final = {
    "identities": ("identities.identity.value",),
    "addresses": ("addresses.wa_id", "addresses.bsuid", "addresses.parent_bsuid"),
    "consents": ("consents.record.change.proof",),
}
"""What leads to a person inside a field."""


class Mask:
    """Which fields to return; of attributes and traits perhaps only some."""

    def __init__(
        self,
        paths: Iterable[str],
        kind: Descriptor,
        sight: Sight = INTERNAL,
        is_personal: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """Empty `paths` are all. `is_personal` knows attributes and traits by their full names;
        without it all are.

        Raises `FieldInvalid` for a path that `kind` does not have.
        """
        self.values: Final = sight.values
        """Whether values of identities are seen."""
        self.withheld: list[str] = []
        """Paths that were asked for and may not be seen."""
        self.fields: list[str] = []
        """Paths that are seen, for the record."""
        self._names: dict[str, list[str] | None] = {}
        self._hides: Callable[[str], bool] | None = None if sight.personal else is_personal
        asked = list(paths)
        for path in asked or (field for field in kind.fields_by_name if field not in ALWAYS):
            field, _, name = path.partition(".")
            if field not in kind.fields_by_name or (name and field not in _BY_NAME):
                raise FieldInvalid("read_mask", f"there is no {path!r} to read")
            if field in ALWAYS or field == "withheld_fields":
                continue
            if (sight is not INTERNAL and field not in sight.fields) or self._hidden(field, name):
                self.withheld.append(path)
                continue
            self.fields.append(path)
            if name:
                names = self._names.setdefault(field, [])
                if names is not None and name not in names:
                    insort(names, name)
            else:
                self._names[field] = None
                if not self.values:
                    self.withheld += _VALUES.get(field, ())
                if self._hides and field in _BY_NAME:
                    self.withheld.append(field)  # in part; their names would tell something too

    def _hidden(self, field: str, name: str) -> bool:
        if not name or self._hides is None:
            return False
        return self._hides(f"traits.{name}" if field == "traits" else name)

    def __contains__(self, field: str) -> bool:
        return field in self._names

    @property
    def part(self) -> Part | None:
        """What is to be read of a contact's document for it; None is everything."""
        if "traits" in self._names:
            return None
        names = self._names.get("attributes", [])
        return Part(None if names is None else frozenset(names))

    def seen(self, field: str, entries: Iterable[str]) -> Iterable[str]:
        """The entries of a field to return, in order: those asked for by name, which somebody may
        not have, or else all of `entries` that may be seen."""
        names, hides = self._names[field], self._hides
        if names is not None:
            return names
        if hides is None:
            return sorted(entries)
        prefix = "traits." if field == "traits" else ""
        return sorted(name for name in entries if not hides(prefix + name))
