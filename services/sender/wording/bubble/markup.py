"""WhatsApp's signs: *bold*, _italic_, ~struck~ and ```code```, and addresses. Pure."""

import re
from collections.abc import Iterator
from typing import Final

from services.sender.wording.bubble.typefaces import Style

_CODE: Final = re.compile(r"```(.+?)```", re.DOTALL)
_MARKED: Final = re.compile(r"(?<![\w*_~])([*_~])(?=\S)(.+?)(?<=\S)\1(?!\w)")
_ADDRESS: Final = re.compile(r"https?://\S+[^\s.,;:!?)]|www\.\S+[^\s.,;:!?)]")
_FIELDS: Final = {"*": "bold", "_": "italic", "~": "strike"}

Run = tuple[str, Style]


def paragraphs(text: str, style: Style) -> list[list[Run]]:
    """Lines as they are written, each as runs of one style."""
    found: list[list[Run]] = [[]]
    for part, shown in _coded(text, style):
        first, *more = part.split("\n")
        for index, line in enumerate((first, *more)):
            if index:
                found.append([])
            if line:
                found[-1].append((line, shown))
    return found


def _coded(text: str, style: Style) -> Iterator[Run]:
    at = 0
    for found in _CODE.finditer(text):
        yield from _lines(text[at : found.start()], style)
        yield found[1], style._replace(mono=True, size=style.size * 0.92)
        at = found.end()
    yield from _lines(text[at:], style)


def _lines(text: str, style: Style) -> Iterator[Run]:
    for index, line in enumerate(text.split("\n")):
        if index:
            yield "\n", style
        yield from _marked(line, style)


def _marked(text: str, style: Style) -> Iterator[Run]:
    at = 0
    for found in _MARKED.finditer(text):
        field = _FIELDS[found[1]]
        if getattr(style, field):
            continue  # bold within bold is a star
        yield from _linked(text[at : found.start()], style)
        yield from _marked(found[2], style._replace(**{field: True}))
        at = found.end()
    yield from _linked(text[at:], style)


def _linked(text: str, style: Style) -> Iterator[Run]:
    at = 0
    for found in _ADDRESS.finditer(text):
        yield text[at : found.start()], style
        yield found[0], style._replace(link=True)
        at = found.end()
    yield text[at:], style
