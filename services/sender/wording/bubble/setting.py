"""Setting type: runs of text broken into lines that fit a width."""

import unicodedata
from collections.abc import Sequence
from typing import Final, NamedTuple

from services.sender.wording.bubble.markup import Run, paragraphs
from services.sender.wording.bubble.typefaces import SCALE, Glyphs, Style, glyphs

_MOST_LINES: Final = 120
_MOST_LETTERS: Final = 2_048  # twice what Meta takes; a draft may be of any length
_MOST_OF_A_LINE: Final = 160
_LEADING: Final = 1.36  # line height by size of letters


class Piece(NamedTuple):
    """Letters of one style on a line."""

    x: float
    """Pixels from the left."""
    runs: list[Glyphs]
    style: Style
    width: float


class Line(NamedTuple):
    """A line of type."""

    pieces: list[Piece]
    width: float


class Block(NamedTuple):
    """Lines one below the other."""

    lines: list[Line]
    leading: float
    """Pixels from baseline to baseline."""
    ascent: float
    """Pixels from the top to the first baseline."""
    from_right: bool
    """It is written from right to left."""

    @property
    def width(self) -> float:
        """Of the longest line, pixels."""
        return max((line.width for line in self.lines), default=0.0)

    @property
    def height(self) -> float:
        """Pixels."""
        return len(self.lines) * self.leading


def block(text: str, style: Style, most: float, lines: int = _MOST_LINES) -> Block:
    """A text set to at most `most` pixels; beyond so many lines it ends in `…`."""
    set_lines: list[Line] = []
    text = text[:_MOST_LETTERS].replace("\r\n", "\n").replace("\r", "\n")
    for runs in paragraphs(text, style):
        set_lines += _broken(runs, most)
    if len(set_lines) > lines:
        set_lines = [*set_lines[: lines - 1], _ended(set_lines[lines - 1], style, most)]
    size = style.size * SCALE
    return Block(set_lines, round(size * _LEADING), size * 1.05, _from_right(text))


def plain(text: str, style: Style) -> Line:
    """A text on one line, however long."""
    runs = glyphs(text, style)
    length = sum(run.width for run in runs)
    return Line([Piece(0, runs, style, length)], length)


def mirrored(line: Line) -> Line:
    """The same with its words from right to left."""
    return Line([p._replace(x=line.width - p.x - p.width) for p in line.pieces], line.width)


def fitted(text: str, style: Style, most: float) -> Line:
    """A text on one line, shortened to `most` pixels."""
    if len(text) > _MOST_OF_A_LINE:
        text = text[:_MOST_OF_A_LINE] + "…"
    line = plain(text, style)
    while line.width > most and len(text) > 1:
        text = text[:-2].rstrip() + "…"
        line = plain(text, style)
    return line


def _broken(runs: Sequence[Run], most: float) -> list[Line]:
    lines: list[Line] = []
    pieces: list[Piece] = []
    x = 0.0
    for word in _words(runs):
        length = sum(piece.width for piece in word)
        blank = word[0].runs[0].text.isspace()
        if x + length > most and pieces and not blank:
            lines.append(_line(pieces))
            pieces, x = [], 0.0
        if length > most:
            for piece in _chopped(word, most):
                if x + piece.width > most and pieces:
                    lines.append(_line(pieces))
                    pieces, x = [], 0.0
                pieces.append(piece._replace(x=x))
                x += piece.width
            continue
        if blank and not pieces and lines:
            continue  # a line does not begin with the space it was broken at
        for piece in word:
            pieces.append(piece._replace(x=x))
            x += piece.width
    return [*lines, _line(pieces)]


def _words(runs: Sequence[Run]) -> list[list[Piece]]:
    """Pieces that stay together: those of a word, whatever their styles; spaces by themselves."""
    words: list[list[Piece]] = []
    glued = False
    for text, style in runs:
        for part in _parts(text):
            set_runs = glyphs(part, style)
            piece = Piece(0, set_runs, style, sum(run.width for run in set_runs))
            if glued and not part.isspace():
                words[-1].append(piece)
            else:
                words.append([piece])
            glued = not part.isspace()
    return words


def _parts(text: str) -> list[str]:
    parts: list[str] = []
    for letter in text:
        if parts and parts[-1].isspace() == letter.isspace() and letter != "\u00ad":
            parts[-1] += letter
        else:
            parts.append(letter)
    return parts


def _chopped(word: Sequence[Piece], most: float) -> list[Piece]:
    """A word that no line is long enough for, letter by letter."""
    found: list[Piece] = []
    for piece in word:
        for run in piece.runs:
            letters = [run.text] if run.emoji else list(run.text)
            for letter in letters:
                one = glyphs(letter, piece.style)
                found.append(Piece(0, one, piece.style, min(most, sum(g.width for g in one))))
    return found


def _line(pieces: list[Piece]) -> Line:
    while pieces and pieces[-1].runs and pieces[-1].runs[-1].text.isspace():
        pieces = pieces[:-1]
    return Line(pieces, pieces[-1].x + pieces[-1].width if pieces else 0.0)


def _ended(line: Line, style: Style, most: float) -> Line:
    runs = glyphs("…", style)
    length = runs[0].width
    pieces = list(line.pieces)
    while pieces and pieces[-1].x + pieces[-1].width + length > most:
        pieces.pop()
    x = pieces[-1].x + pieces[-1].width if pieces else 0.0
    return Line([*pieces, Piece(x, runs, style, length)], x + length)


def _from_right(text: str) -> bool:
    for letter in text:
        kind = unicodedata.bidirectional(letter)
        if kind in {"R", "AL"}:
            return True
        if kind == "L":
            return False
    return False
