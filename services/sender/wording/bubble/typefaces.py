"""Letters: which font has them, how wide they are, and how they are painted."""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from PIL import ImageDraw, ImageFont

from chassis.fonts import covered, font_file

SCALE: Final = 2
"""Pixels of a point."""
_FALLBACK: Final = "DejaVuSans"
_EMOJI: Final = "Emoji"
_EMOJI_SIZE: Final = 1.2  # of the letters beside it, as WhatsApp has it
_ONE: Final = "[\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u25fe\u2600-\u27bf\u2934-\u2b55\u3030\u303d\u3297\u3299\U0001f004-\U0001f251\U0001f300-\U0001faff]"  # fmt: skip  # noqa: E501 - blocks of Unicode with emoji
_BREAKS: Final = re.compile("[\n\r\x1c-\x1e\x85\u2029]")
"""What ends a paragraph to those who set type: they take one at a time."""
_EMOJIS: Final = re.compile(
    "[\U0001f1e6-\U0001f1ff]{2}"
    "|[#*0-9]\ufe0f?\u20e3"
    f"|{_ONE}\ufe0f?[\U0001f3fb-\U0001f3ff]?"
    f"(?:\u200d{_ONE}\ufe0f?[\U0001f3fb-\U0001f3ff]?)*"
)


class Style(NamedTuple):
    """How letters look."""

    size: float
    """Points."""
    bold: bool = False
    italic: bool = False
    mono: bool = False
    strike: bool = False
    medium: bool = False
    link: bool = False


class Glyphs(NamedTuple):
    """Letters of one font, side by side."""

    text: str
    font: ImageFont.FreeTypeFont
    width: float
    """Pixels."""
    emoji: bool = False


def glyphs(text: str, style: Style) -> list[Glyphs]:
    """A text on one line as runs of one font each."""
    text = _BREAKS.sub(" ", text)
    found: list[Glyphs] = []
    at = 0
    for match in _EMOJIS.finditer(text):
        cluster = match[0]
        if not _is_emoji(cluster):
            continue
        found += _letters(text[at : match.start()], style)
        font = _font(_EMOJI, round(style.size * _EMOJI_SIZE * SCALE))
        found.append(Glyphs(cluster, font, font.getlength(cluster), emoji=True))
        at = match.end()
    return found + _letters(text[at:], style)


def paint(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], runs: list[Glyphs], colour: str
) -> None:
    """Runs side by side, `at` the beginning of their baseline."""
    x, y = at
    for run in runs:
        if run.emoji:
            # A little below the baseline, so that it stands in the middle of the letters.
            place = (x, y + run.font.size * 0.12)
            draw.text(place, run.text, font=run.font, anchor="ls", embedded_color=True)
        else:
            draw.text((x, y), run.text, fill=colour, font=run.font, anchor="ls")
        x += run.width


def has(letter: str, style: Style) -> bool:
    """Whether there is a picture of a letter."""
    return any(ord(letter) in covered(name) for name in (_name(style), _FALLBACK))


def _is_emoji(cluster: str) -> bool:
    """What is written as text by itself (™, ↔) is an emoji only where a selector says so."""
    first = cluster[0]
    if ord(first) not in covered(_EMOJI) and not cluster.endswith("\u20e3"):
        return False
    return len(cluster) > 1 or not has(first, Style(1)) or ord(first) > 0x2600


def _letters(text: str, style: Style) -> list[Glyphs]:
    """Runs of the style's own font, and of the other where that lacks a letter."""
    name, size = _name(style), round(style.size * SCALE)
    found: list[Glyphs] = []
    for own, part in _split(text, name):
        font = _font(name if own else _FALLBACK, size)
        found.append(Glyphs(part, font, font.getlength(part)))
    return found


def _split(text: str, name: str) -> list[tuple[bool, str]]:
    parts: list[tuple[bool, str]] = []
    for letter in text:
        own = ord(letter) in covered(name) or ord(letter) not in covered(_FALLBACK)
        # A full stop behind Arabic stands on its left: it is set with the letters before it
        other = own and parts and not parts[-1][0] and ord(letter) in covered(_FALLBACK)
        if parts and (parts[-1][0] == own or letter == " " or (other and not letter.isalnum())):
            parts[-1] = (parts[-1][0], parts[-1][1] + letter)
        else:
            parts.append((own, letter))
    return parts


def _name(style: Style) -> str:
    if style.mono:
        return "DejaVuSansMono"
    kind = ("Bold" if style.bold else "") + ("Italic" if style.italic else "")
    return f"Roboto-{kind or ('Medium' if style.medium else 'Regular')}"


@lru_cache(64)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_file(name), size)
