"""The picture of a message: readable, bounded, and as it was when people last looked at it."""

import io
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from services.sender.wording.bubble import draw
from services.sender.wording.bubble.markup import paragraphs
from services.sender.wording.bubble.setting import block, plain
from services.sender.wording.bubble.typefaces import Style, glyphs, has
from services.sender.wording.showing import Bubble, Button, Header, Offer

PICTURES = Path(__file__).parents[3] / "docs" / "pictures"
BODY = Style(15)
URL = Button("URL", "Sepete git")
REPLY = Button("QUICK_REPLY", "İlgilenmiyorum")


def photo() -> bytes:
    """A sunset, of which nobody holds the rights."""
    small = Image.new("RGB", (1, 4))
    for y, colour in enumerate([(255, 196, 140), (250, 130, 110), (200, 80, 130), (80, 50, 120)]):
        small.putpixel((0, y), colour)
    file = io.BytesIO()
    small.resize((600, 320), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


SPRING = Bubble(
    header=Header("image", source="file_spring"),
    body="Merhaba Ayşe 👋\n\n*Bahar indirimi* başladı! Sepetindeki _kırmızı ipek elbise_ şimdi"
    " ~₺1.299,00~ *₺899,00*.\n\nKodun: ```BAHAR25``` 🎉",
    footer="Durdurmak için DUR yaz.",
    buttons=[URL, Button("COPY_CODE", "Teklif kodunu kopyala"), REPLY],
    time="14:32",
)
CARDS = Bubble(
    body="Sana özel seçtiklerimiz, Işıl 💐",
    time="18:20",
    cards=[
        Bubble(
            header=Header("image", source="file_spring"),
            body=f"*{name}*\n{price} ✨",
            buttons=[Button("URL", "Ürüne git"), Button("QUICK_REPLY", "Daha fazlası")],
        )
        for name, price in (
            ("İpek elbise", "₺899,00"),
            ("Deri çanta", "₺1.450,00"),
            ("Keten gömlek, uzun kollu", "₺499,90"),
        )
    ],
)
OFFER = Bubble(
    header=Header("image"),
    offer=Offer("Son saatler!", "3 saat sonra bitiyor", "Kod: YAZ50"),
    body="Yaz koleksiyonunda *%50* indirim seni bekliyor.",
    buttons=[Button("COPY_CODE", "Teklif kodunu kopyala"), Button("URL", "Alışverişe başla")],
    time="11:11",
)
EXAMPLES = {"bubble": (SPRING, False), "carousel": (CARDS, True), "offer": (OFFER, False)}
"""In docs/pictures; `python -m services.sender.tests.test_bubble` draws them again."""


def drawn(shown: Bubble, **more: Any) -> Image.Image:
    return Image.open(io.BytesIO(draw(shown, pictures={"file_spring": photo()}, **more)))


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_looks_as_people_last_saw_it(name: str) -> None:
    shown, dark = EXAMPLES[name]
    found, golden = drawn(shown, dark=dark), Image.open(PICTURES / f"{name}.png").convert("RGB")
    assert found.size == golden.size
    # Fonts are drawn a little differently by other versions of their libraries.
    blurred = [one.resize((one.width // 8, one.height // 8)) for one in (found, golden)]
    assert max(ImageStat.Stat(ImageChops.difference(*blurred)).rms) < 6


KINDS = [
    Header("text", "Siparişin yolda 🚚"),
    Header("image"),
    Header("video"),
    Header("gif"),
    Header("document", "Fatura.pdf"),
    Header("location", "Kadıköy mağazamız", "Bahariye Cad. 12"),
    Header("product", "sku-1"),
]


@pytest.mark.parametrize("header", KINDS, ids=lambda header: header.kind)
def test_every_kind_of_header_takes_room_and_shows_something(header: Header) -> None:
    plain, headed = drawn(Bubble(body="Merhaba")), drawn(Bubble(header=header, body="Merhaba"))
    assert headed.height > plain.height + 30
    above = headed.crop((48, 36, 400, headed.height - plain.height))
    assert len(above.getcolors(100_000) or ()) > 8


def test_a_picture_is_shown_and_what_is_none_has_a_placeholder() -> None:
    shown = Bubble(header=Header("image", source="f"), body="x")
    of = {
        name: Image.open(io.BytesIO(draw(shown, pictures=given))).getpixel((330, 150))
        for name, given in {
            "sunset": {"f": photo()},
            "none": {},
            "broken": {"f": b"\x89PNG\r\n\x1a\n" + b"x" * 99},
            "huge": {"f": bomb()},
        }.items()
    }
    assert of["none"] == of["broken"] == of["huge"] != of["sunset"]


def bomb() -> bytes:
    """A small file of a very large picture."""
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    return file.getvalue()


def test_the_dark_one_is_dark() -> None:
    light, dark = (ImageStat.Stat(drawn(SPRING, dark=one).convert("L")).mean[0] for one in (0, 1))
    assert light > 180
    assert dark < 90


def test_a_longer_text_is_wider_and_then_higher() -> None:
    short, wide, high = (drawn(Bubble(body=f"ürün {n}" * n, time="09:05")) for n in (1, 4, 40))
    assert short.size == wide.size  # the chat's width
    assert high.height > wide.height
    assert high.width == wide.width == 720
    assert edge(short) < edge(wide) <= edge(high)


def edge(image: Image.Image) -> int:
    """How far the bubble reaches."""
    row = [image.getpixel((x, 40)) for x in range(image.width)]
    return max(x for x, pixel in enumerate(row) if pixel != row[-1])


def test_words_are_broken_at_spaces_and_only_what_is_too_long_inside() -> None:
    most = plain("elbise ve mavi", BODY).width + 1
    lines = block("muhteşem elbise ve mavi gömlek", BODY, most).lines
    shown = ["".join(run.text for p in line.pieces for run in p.runs) for line in lines]
    assert shown == ["muhteşem", "elbise ve mavi", "gömlek"]
    chopped = block("x" * 400, BODY, 300)
    assert len(chopped.lines) > 5
    assert chopped.width <= 300


def test_a_very_long_text_ends() -> None:
    assert drawn(Bubble(body="söz\n" * 5_000)).height < 6_000
    assert drawn(Bubble(buttons=[Button("URL", "ş" * 500)])).width == 720


@pytest.mark.parametrize("letter", "çÇğĞıIiİöÖşŞüÜâîûÂÎÛ₺€…“”’–")
def test_turkish_has_all_its_letters(letter: str) -> None:
    for style in (BODY, BODY._replace(bold=True), BODY._replace(italic=True)):
        assert has(letter, style)
        assert glyphs(letter, style)[0].font.getname()[0] == "Roboto"
    assert has(letter, BODY._replace(mono=True))


def test_other_scripts_have_letters_and_emoji_are_in_colour() -> None:
    for letter in "ΑБאبé→✓":
        assert has(letter, BODY)
    for cluster in ("👋", "👨‍👩‍👧", "🇹🇷", "👍🏽", "1️⃣", "❤️"):
        (run,) = glyphs(cluster, BODY)
        assert run.emoji
        assert run.width < 50
    assert [run.emoji for run in glyphs("5 * 3 = 15 ™", BODY)] == [False]
    colours = drawn(Bubble(body="🍓🍋🥝🫐" * 3)).getcolors(100_000)
    assert colours is not None
    assert sum(1 for _, (red, green, blue) in colours if max(red, green, blue) - min(red, green, blue) > 90) > 20  # fmt: skip  # noqa: E501


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("*kalın*", [("kalın", "bold")]),
        ("_eğik_ ve ~çizik~", [("eğik", "italic"), (" ve ", ""), ("çizik", "strike")]),
        ("```a*b*```", [("a*b*", "mono")]),
        ("*_iki_*", [("iki", "bold italic")]),
        ("2*3*4 a_b_c", [("2*3*4 a_b_c", "")]),
        ("* boş *", [("* boş *", "")]),
        ("https://a.example/x_y_z.", [("https://a.example/x_y_z", "link"), (".", "")]),
    ],
)
def test_whatsapps_signs(text: str, shown: list[tuple[str, str]]) -> None:
    (line,) = paragraphs(text, BODY)
    found = [
        (part, " ".join(f for f in style._fields[1:] if getattr(style, f)))
        for part, style in line
        if part
    ]
    assert found == shown


def test_of_more_than_three_buttons_a_list_is_shown() -> None:
    heights = [
        drawn(Bubble(body="x", buttons=[URL] * n, more="Tüm seçenekleri gör")).height
        for n in (3, 4, 10)
    ]
    assert heights[0] == heights[1] == heights[2]


def test_right_to_left_texts_stand_on_the_right() -> None:
    left, right = drawn(Bubble(body="Merhaba\nA")), drawn(Bubble(body="مرحبا\nا"))
    rows = [one.convert("L").crop((60, 60, 400, one.height - 40)) for one in (left, right)]
    dark = [
        [x for x in range(one.width) if min(one.crop((x, 0, x + 1, one.height)).tobytes()) < 120]
        for one in rows
    ]
    assert dark[0][0] < 20
    assert dark[1][0] > dark[0][0]


def test_a_full_stop_is_set_with_the_letters_before_it() -> None:
    assert [run.text for run in glyphs("متجرنا.", Style(15))] == ["متجرنا."]


def test_the_largest_message_is_drawn_soon_and_small() -> None:
    cards = [Bubble(header=Header("image"), body="ğ" * 160, buttons=[URL, REPLY])] * 10
    begun = time.process_time()
    png = draw(Bubble(body="Uzun bir söz 🎉 " * 80, footer="x" * 60, time="00:00", cards=cards))
    assert time.process_time() - begun < 5
    assert len(png) < 600_000


@pytest.mark.parametrize(
    "sign", ["\n", "\r", "\r\n", "\x1c", "\x85", "\u2028", "\u2029", "\0", "\t"]
)
def test_whatever_ends_a_line_or_is_not_seen_may_stand_anywhere(sign: str) -> None:
    text = f"a{sign}b"
    button = Button("URL", text)
    assert drawn(Bubble(header=Header("text", text), body=text, footer=text, buttons=[button]))
    assert len(block("a\r\nb", Style(15), 1_000).lines) == 2


LONG = 300_000


@pytest.mark.parametrize(
    "shown",
    [
        Bubble(body="ab " * LONG),
        Bubble(body="_" * LONG),
        Bubble(body="*a " * LONG, footer="a\n" * LONG),
        Bubble(header=Header("text", "a\n" * LONG), body="👨‍👩‍" * LONG),
        Bubble(header=Header("location", "a " * LONG, "b " * LONG)),
        Bubble(body="x", buttons=[Button("URL", "ab " * LONG)]),
        Bubble(body="x", cards=[Bubble(body="a\n" * 500)] * 5_000),
    ],
    ids=["words", "marks", "bold", "signs", "place", "button", "cards"],
)
def test_whatever_a_draft_says_its_picture_is_small_and_soon_there(shown: Bubble) -> None:
    begun = time.process_time()
    picture = drawn(shown)
    assert time.process_time() - begun < 5
    assert picture.width * picture.height < 20_000_000


def test_what_is_bold_already_has_its_stars() -> None:
    assert drawn(Bubble(body="*a *b* c*")).tobytes() != drawn(Bubble(body="*a b c*")).tobytes()


def main() -> None:
    """Draw the examples of the documentation again."""
    PICTURES.mkdir(exist_ok=True)
    for name, (shown, dark) in EXAMPLES.items():
        (PICTURES / f"{name}.png").write_bytes(
            draw(shown, dark=dark, pictures={"file_spring": photo()})
        )


if __name__ == "__main__":
    main()
