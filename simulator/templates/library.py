"""Some of the templates that Meta's library has, and how one is made one's own. Pure."""

from collections.abc import Mapping
from typing import Any

from simulator.refusals import Refused

_LIBRARY: dict[str, list[dict[str, Any]]] = {
    "delivery_update_1": [
        {
            "type": "BODY",
            "text": "Hi {{1}}, your order {{2}} is on its way and will arrive on {{3}}.",
            "example": {"body_text": [["Jim", "A-1001", "May 5"]]},
        },
        {
            "type": "BUTTONS",
            "buttons": [
                {
                    "type": "URL",
                    "text": "Track package",
                    "url": "https://www.example.com/{{1}}",
                    "example": ["https://www.example.com/a"],
                }
            ],
        },
    ],
    "payment_received_1": [
        {
            "type": "BODY",
            "text": "Hi {{1}}, we received your payment of {{2}}. Thank you.",
            "example": {"body_text": [["Jim", "$10"]]},
        },
    ],
}


def from_library(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body of a creation call with the components of the template it names. Raises Refused."""
    name = body.get("library_template_name")
    if name is None:
        return body
    components = _LIBRARY.get(name) if isinstance(name, str) else None
    if components is None:
        raise Refused(100, f"library_template_name: the library has no {name}.")
    if body.get("components"):
        raise Refused(100, "components: the library has those of the template.")
    inputs = body.get("library_template_button_inputs", [])
    if not isinstance(inputs, list) or not all(isinstance(one, dict) for one in inputs):
        raise Refused(100, "library_template_button_inputs: a list of objects is required.")
    return {**body, "components": [_with_inputs(part, inputs) for part in components]}


def _with_inputs(part: dict[str, Any], inputs: list[dict[str, Any]]) -> dict[str, Any]:
    if part["type"] != "BUTTONS":
        return part
    buttons = part["buttons"]
    if [one.get("type") for one in inputs] != [one["type"] for one in buttons]:
        raise Refused(100, "library_template_button_inputs: one for each button, of its type.")
    return {**part, "buttons": [_button(*pair) for pair in zip(buttons, inputs, strict=True)]}


def _button(button: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    url = given.get("url")
    if button["type"] != "URL" or not isinstance(url, dict):
        return {**button, **given}
    return {**button, "url": url.get("base_url"), "example": [url.get("url_suffix_example")]}
