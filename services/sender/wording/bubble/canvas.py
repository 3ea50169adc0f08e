"""What is painted on: colours, smooth corners, type and signs. Measures are points, at the top left
of what they place."""

from functools import lru_cache
from typing import Final, NamedTuple

from PIL import Image, ImageDraw

from services.sender.wording.bubble.icons import icon
from services.sender.wording.bubble.setting import Block, Line, mirrored
from services.sender.wording.bubble.typefaces import SCALE, Style, paint

_FINER: Final = 4


class Theme(NamedTuple):
    """Colours."""

    chat: str
    bubble: str
    shadow: str
    text: str
    grey: str
    link: str
    rule: str
    panel: str
    code: str


LIGHT: Final = Theme(
    chat="#efe7dd",
    bubble="#ffffff",
    shadow="#d8cfc4",
    text="#111b21",
    grey="#667781",
    link="#027eb5",
    rule="#e9edef",
    panel="#f0f2f5",
    code="#eceff1",
)
DARK: Final = Theme(
    chat="#0b141a",
    bubble="#202c33",
    shadow="#070d11",
    text="#e9edef",
    grey="#8696a0",
    link="#53bdeb",
    rule="#313d45",
    panel="#182229",
    code="#2a3942",
)


class Canvas:
    """A picture that is being painted."""

    def __init__(self, width: float, height: float, theme: Theme) -> None:
        self.theme = theme
        self.image = Image.new("RGB", (_px(width), _px(height)), theme.chat)
        self._draw = ImageDraw.Draw(self.image)

    def rectangle(
        self, box: tuple[float, float, float, float], radius: float, colour: str,
        corners: tuple[bool, bool, bool, bool] = (True, True, True, True),
    ) -> None:  # fmt: skip
        """A rectangle (x, y, width, height), its corners rounded: from top left, clockwise."""
        x, y, width, height = box
        mask = rounded(_px(width), _px(height), _px(radius), corners)
        self.image.paste(colour, (_px(x), _px(y)), mask)

    def picture(self, picture: Image.Image, x: float, y: float, radius: float) -> None:
        """A picture of its own size in pixels, its corners rounded."""
        mask = rounded(*picture.size, _px(radius), (True, True, True, True))
        self.image.paste(picture, (_px(x), _px(y)), mask)

    def shape(self, points: list[tuple[float, float]], colour: str) -> None:
        """A polygon with smooth edges."""
        xs, ys = [x for x, _ in points], [y for _, y in points]
        left, top = _px(min(xs)), _px(min(ys))
        size = (_px(max(xs)) - left + 1, _px(max(ys)) - top + 1)
        large = Image.new("L", (size[0] * _FINER, size[1] * _FINER))
        finer = SCALE * _FINER
        ImageDraw.Draw(large).polygon(
            [(x * finer - left * _FINER, y * finer - top * _FINER) for x, y in points], fill=255
        )
        self.image.paste(colour, (left, top), large.resize(size, Image.Resampling.LANCZOS))

    def rule(self, x: float, y: float, width: float) -> None:
        """A thin line."""
        box = (_px(x), _px(y), _px(x + width) - 1, _px(y))
        self._draw.rectangle(box, fill=self.theme.rule)

    def sign(self, name: str, x: float, y: float, size: float, colour: str) -> None:
        """A sign of `icons`."""
        self.image.paste(colour, (_px(x), _px(y)), icon(name, _px(size)))

    def line(self, line: Line, x: float, baseline: float, colour: str) -> None:
        """A line of type."""
        for piece in line.pieces:
            at = (x * SCALE + piece.x, baseline * SCALE)
            self._code(piece.style, at, piece.width)
            shown = self.theme.link if piece.style.link else colour
            paint(self._draw, at, piece.runs, shown)
            if piece.style.strike or piece.style.link:
                self._stroke(piece.style, at, piece.width, shown)

    def block(self, block: Block, x: float, y: float, width: float, colour: str) -> None:
        """Lines of type, in a column of this width."""
        for index, line in enumerate(block.lines):
            baseline = y + (block.ascent + index * block.leading) / SCALE
            if block.from_right:
                self.line(mirrored(line), x + width - line.width / SCALE, baseline, colour)
            else:
                self.line(line, x, baseline, colour)

    def _code(self, style: Style, at: tuple[float, float], width: float) -> None:
        if style.mono:
            size = style.size * SCALE
            box = (at[0] - 2, at[1] - size, at[0] + width + 2, at[1] + size * 0.28)
            self._draw.rounded_rectangle(box, 4, fill=self.theme.code)

    def _stroke(self, style: Style, at: tuple[float, float], width: float, colour: str) -> None:
        up = style.size * 0.3 * SCALE if style.strike else -style.size * 0.14 * SCALE
        y = at[1] - up
        self._draw.line((at[0], y, at[0] + width, y), fill=colour, width=SCALE)


def _px(points: float) -> int:
    return round(points * SCALE)


@lru_cache(64)
def rounded(
    width: int, height: int, radius: int, corners: tuple[bool, bool, bool, bool]
) -> Image.Image:
    """A mask of a rectangle in pixels, some of its corners rounded."""
    radius = min(radius, width // 2, height // 2)
    mask = Image.new("L", (width, height), 255)
    if radius <= 0:
        return mask
    large = Image.new("L", (2 * radius * _FINER, 2 * radius * _FINER))
    ImageDraw.Draw(large).ellipse((0, 0, large.width - 1, large.height - 1), fill=255)
    disc = large.resize((2 * radius, 2 * radius), Image.Resampling.LANCZOS)
    right, low = width - radius, height - radius
    places = ((0, 0), (right, 0), (right, low), (0, low))
    quarters = ((0, 0), (radius, 0), (radius, radius), (0, radius))
    for on, place, (x, y) in zip(corners, places, quarters, strict=True):
        if on:
            mask.paste(disc.crop((x, y, x + radius, y + radius)), place)
    return mask
