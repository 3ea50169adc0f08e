"""A whole message: the bubble with its buttons, and the cards beside each other."""

import io
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from services.sender.wording.bubble.canvas import DARK, LIGHT, Canvas
from services.sender.wording.bubble.headers import height_of, paint_header
from services.sender.wording.bubble.icons import OF_BUTTON
from services.sender.wording.bubble.setting import Block, block, fitted, plain
from services.sender.wording.bubble.typefaces import SCALE, Style
from services.sender.wording.showing import Bubble, Button

_WIDTH: Final = 360.0
_LEFT: Final = 20.0
_EDGE: Final = 14.0
_BUBBLE: Final = 296.0
_CARD: Final = 232.0
_GAP: Final = 8.0
_INSET: Final = 4.0
_PAD: Final = 10.0
_BUTTON: Final = 44.0
_OFFER: Final = 62.0
_RADIUS: Final = 9.0
_NARROWEST: Final = 96.0
_SHOWN_BUTTONS: Final = 3
_CARDS: Final = 10
_LINES: Final = 120
_LINES_OF_CARD: Final = 24
_LINES_BESIDE: Final = 8  # above a body and below it
_TITLE: Final = Style(16, bold=True)
_BODY: Final = Style(15)
_FOOTER: Final = Style(13)
_TIME: Final = Style(11)
_LABEL: Final = Style(15, medium=True)
_STRONG: Final = Style(14, bold=True)
_SMALL: Final = Style(12.5)


class _Set(NamedTuple):
    """A bubble with its type set."""

    shown: Bubble
    width: float
    header: float
    """Height of what is no type; 0: none."""
    title: Block | None
    body: Block | None
    footer: Block | None
    time_below: bool
    """Its time has a line of its own."""
    buttons: Sequence[Button]
    height: float


def draw(
    shown: Bubble, *, dark: bool = False, pictures: Mapping[str, bytes] | None = None
) -> bytes:
    """PNG, 2 pixels a point, 360 points wide; wider with cards, which stand beside each other.
    `pictures` are JPEG or PNG by the source of a header; for others a placeholder stands."""
    found = pictures or {}
    message = _set(shown, _BUBBLE, found)
    cards = [_set(card, _CARD, found, fixed=True) for card in shown.cards[:_CARDS]]
    row = max((card.height for card in cards), default=0.0)
    width = max(_WIDTH, _LEFT + len(cards) * (_CARD + _GAP) - _GAP + _EDGE if cards else 0)
    height = _EDGE + message.height + (_GAP + row if cards else 0) + _EDGE
    canvas = Canvas(width, height, DARK if dark else LIGHT)
    _paint(canvas, message, _LEFT, _EDGE, message.height, found, tail=True)
    for index, card in enumerate(cards):
        x = _LEFT + index * (_CARD + _GAP)
        _paint(canvas, card, x, _EDGE + message.height + _GAP, row, found, tail=False)
    file = io.BytesIO()
    canvas.image.save(file, "PNG", optimize=False, compress_level=6)
    return file.getvalue()


def _set(shown: Bubble, most: float, pictures: Mapping[str, bytes], *, fixed: bool = False) -> _Set:
    inner = (most - 2 * _PAD) * SCALE
    header = shown.header
    media = height_of(header, most - 2 * _INSET, pictures) if header else 0.0
    heading = header.text if header and header.kind == "text" else ""
    lines = _LINES_OF_CARD if fixed else _LINES
    title = block(heading, _TITLE, inner, _LINES_BESIDE) if heading else None
    body = block(shown.body, _BODY, inner, lines) if shown.body else None
    footer = block(shown.footer, _FOOTER, inner, _LINES_BESIDE) if shown.footer else None
    type_blocks = [one for one in (title, body, footer) if one]
    widest = max((one.width for one in type_blocks), default=0.0) / SCALE
    clock = plain(shown.time, _TIME).width / SCALE if shown.time else 0.0
    last = type_blocks[-1].lines[-1].width / SCALE if type_blocks else 0.0
    width = most
    if not (fixed or media or shown.offer or shown.buttons or shown.cards):
        # As narrow as its words, and wide enough for the time beside the last of them.
        width = max(_NARROWEST, min(most, max(widest, last + 8 + clock) + 2 * _PAD))
    from_right = bool(type_blocks) and type_blocks[-1].from_right
    below = bool(shown.time) and (from_right or last + 8 + clock > width - 2 * _PAD)
    height = (_INSET + media if media else 0) + (_INSET + _OFFER if shown.offer else 0)
    height += 6 + sum(one.height / SCALE for one in type_blocks) + 4 * (len(type_blocks) - 1)
    height += (14 if below else 0) + 7
    buttons = _buttons(shown)
    return _Set(
        shown, width, media, title, body, footer, below, buttons, height + _BUTTON * len(buttons)
    )


def _buttons(shown: Bubble) -> Sequence[Button]:
    """As WhatsApp shows them: of more than three the first two, and a list of all."""
    if len(shown.buttons) <= _SHOWN_BUTTONS:
        return shown.buttons
    return [*shown.buttons[:2], Button("MORE", shown.more)]


def _paint(
    canvas: Canvas,
    one: _Set,
    x: float,
    y: float,
    height: float,
    pictures: Mapping[str, bytes],
    *,
    tail: bool,
) -> None:
    theme, shown, width = canvas.theme, one.shown, one.width
    corners = (not tail, True, True, True)
    canvas.rectangle((x, y + 0.75, width, height), _RADIUS, theme.shadow, corners)
    if tail:
        canvas.shape([(x - 8, y), (x + 6, y), (x + 6, y + 13)], theme.bubble)
    canvas.rectangle((x, y, width, height), _RADIUS, theme.bubble, corners)
    top = y
    if shown.header and one.header:
        top += _INSET
        inner = width - 2 * _INSET
        paint_header(canvas, shown.header, x + _INSET, top, inner, pictures)
        top += one.header
    if shown.offer:
        top += _INSET
        _offer(canvas, one, x + _INSET, top)
        top += _OFFER
    top += 6
    for part, colour in ((one.title, theme.text), (one.body, theme.text), (one.footer, theme.grey)):
        if part is not None:
            canvas.block(part, x + _PAD, top, width - 2 * _PAD, colour)
            top += part.height / SCALE + 4
    if shown.time:
        line = plain(shown.time, _TIME)
        under = y + height - _BUTTON * len(one.buttons) - 8
        canvas.line(line, x + width - _PAD - line.width / SCALE, under, theme.grey)
    for index, button in enumerate(one.buttons):
        at = y + height - _BUTTON * (len(one.buttons) - index)
        _button(canvas, button, x, at, width)


def _offer(canvas: Canvas, one: _Set, x: float, y: float) -> None:
    offer, theme = one.shown.offer, canvas.theme
    assert offer is not None
    width = one.width - 2 * _INSET
    canvas.rectangle((x, y, width, _OFFER), 6, theme.panel)
    canvas.rectangle((x + 8, y + 9, 44, 44), 6, "#00a884")
    canvas.sign("gift", x + 18, y + 19, 24, "#ffffff")
    most = (width - 70) * SCALE
    said = [(offer.text, _STRONG, theme.text), (offer.ends, _SMALL, "#ea0038")]
    said.append((offer.code, _SMALL, theme.grey))
    told = [part for part in said if part[0]]
    baseline = y + _OFFER / 2 + 5 - 8 * (len(told) - 1)
    for text, style, colour in told:
        canvas.line(fitted(text, style, most), x + 62, baseline, colour)
        baseline += 16.5


def _button(canvas: Canvas, button: Button, x: float, y: float, width: float) -> None:
    canvas.rule(x, y, width)
    name = OF_BUTTON.get(button.kind)
    room = 26.0 if name else 0.0
    label = fitted(button.text, _LABEL, (width - 2 * _PAD - room) * SCALE)
    left = x + (width - room - label.width / SCALE) / 2
    if name:
        canvas.sign(name, left, y + (_BUTTON - 19) / 2, 19, canvas.theme.link)
    canvas.line(label, left + room, y + _BUTTON / 2 + 5.4, canvas.theme.link)
