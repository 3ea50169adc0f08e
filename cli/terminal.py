"""What is shown in a terminal. Names and texts come from people and from Meta: none of them may
move the cursor, name a window, colour a line or turn letters round."""

import re
from collections.abc import Iterable
from typing import Any, Final

import rich.console
import typer
from rich.segment import Segment

# Controls but for tabs and ends of lines, and what overrides the direction of letters
_MOVING: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """A text that a terminal only shows: what would move it is spelt as JSON does, `\\u001b`."""
    return _MOVING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def echo(message: object, *, err: bool = False) -> None:
    """A line of output, of an error with `err`."""
    typer.echo(plain(str(message)), err=err)


class Console(rich.console.Console):
    """A terminal in which brackets are brackets, and texts move nothing."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"markup": False, **settings})

    def render(
        self,
        renderable: rich.console.RenderableType,
        options: rich.console.ConsoleOptions | None = None,
    ) -> Iterable[Segment]:
        """As Rich does, its own movements and none of a text's."""
        for segment in super().render(renderable, options):
            if segment.control or not _MOVING.search(segment.text):
                yield segment
            else:
                yield Segment(plain(segment.text), segment.style)
