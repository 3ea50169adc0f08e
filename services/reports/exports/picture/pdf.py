"""A page as PDF: its words can be searched, copied and read aloud."""

from fpdf import FPDF

from chassis.fonts import font_file
from services.reports.exports.picture.sheet import HEIGHT, WIDTH, Box, Sheet


def pdf(sheet: Sheet) -> bytes:
    """The page as a file."""
    document = FPDF(unit="pt", format=(WIDTH, HEIGHT))
    document.set_title(sheet.title)
    document.set_lang(sheet.language)
    document.set_creator("Merhaba")
    document.set_auto_page_break(auto=False)
    document.add_font("Roboto", "", font_file("Roboto-Regular"))
    document.add_font("Roboto", "B", font_file("Roboto-Bold"))
    document.add_page()
    for mark in sheet.marks:
        if isinstance(mark, Box):
            document.set_fill_color(*mark.colour)
            document.rect(mark.x, mark.y, mark.width, mark.height, style="F")
            continue
        document.set_font("Roboto", "B" if mark.bold else "", mark.size)
        document.set_text_color(*mark.colour)
        words = mark.words
        while mark.width and len(words) > 1 and document.get_string_width(words) > mark.width:
            words = f"{words.removesuffix('…')[:-1]}…"
        wide = document.get_string_width(words) if mark.align == "right" else 0
        document.text(mark.x - wide, mark.y, words)
    return bytes(document.output())
