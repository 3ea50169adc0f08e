"""A template as a form: which blanks it has, and the message they make. Pure."""

from collections.abc import Collection
from typing import Any, Final

import msgspec

from services.sender.model import Template
from services.sender.wording.casing import cut
from services.sender.wording.clean import is_value
from services.sender.wording.parts import Blank, Values, parts

OPT_OUT: Final = "STOP"
"""What a quick reply that ends marketing answers, in whatever language it is written: a keyword by
which profile withdraws consent."""


def components_of(template: Template) -> list[dict[str, Any]]:
    """Meta's `components` array."""
    decoded: list[dict[str, Any]] = msgspec.json.decode(template.components)
    return decoded


class Form:
    """One template in one language."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self.components = components_of(template)
        code = template.category.upper() == "AUTHENTICATION"
        self._parts = [*parts(self.components, code=code)]
        self._texts = [text for part in self._parts for text in part.texts]
        self.blanks: dict[str, Blank] = {
            blank.variable: blank for part in self._parts for blank in part.blanks
        }
        self.required = frozenset(b.variable for b in self.blanks.values() if b.required)
        """What has to be filled."""

    def body(self, values: Values) -> bytes:
        """Meta's message object as JSON; `values` has at least what is required."""
        content: dict[str, Any] = {
            "name": self.template.name,
            "language": {"code": self.template.language},
        }
        said = {**dict.fromkeys(self.template.opt_outs, OPT_OUT), **values}
        components = [made for part in self._parts if (made := part.make(said))]
        if components:
            content["components"] = components
        return msgspec.json.encode({"type": "template", "template": content})

    def shorten(self, values: dict[str, Any], cuttable: Collection[str]) -> str:
        """Cut words until each text is as short as Meta takes it, the longest first; names the text
        for which that is not enough, and is empty when all is well."""
        for text in self._texts:
            over = text.fixed - text.most
            over += sum(len(values.get(name, "")) * times for name, times in text.uses.items())
            if over <= 0:
                continue
            for name in sorted(text.uses, key=lambda name: -len(values.get(name, ""))):
                if name in cuttable and name in values and over > 0:
                    times, length = text.uses[name], len(values[name])
                    shorter = cut(values[name], max(2, length + -over // times))
                    if is_value(shorter):  # what is left may be nothing but `…`
                        values[name] = shorter
                    over -= (length - len(values[name])) * times
            if over > 0:
                return text.variable
        return ""
