"""What Meta wants of buttons: broken and kept."""

from services.sender.tests.lint_cases.drafts import (
    ADVICE,
    COPY,
    DOOR,
    FLOW,
    PHONE,
    Case,
    code,
    pressing,
)
from services.sender.tests.templates import (
    buttons,
    link,
    otp,
    reply,
)

CASES: list[Case] = [
    (
        "too_many_buttons",
        pressing(*(reply(str(n)) for n in range(11))),
        "components.buttons",
        pressing(*(reply(str(n)) for n in range(10))),
    ),
    (
        "too_many_of_kind",
        pressing(*(link(text=str(n)) for n in range(3))),
        "components.buttons",
        pressing(*(link(text=str(n)) for n in range(2))),
    ),
    ("too_many_of_kind", pressing(PHONE, PHONE), "components.buttons", pressing(PHONE)),
    (
        "quick_replies_apart",
        pressing(reply("a"), link(), reply("b")),
        "components.buttons",
        pressing(reply("a"), reply("b"), link()),
    ),
    ("desktop_hidden", pressing(reply(), link()), "components.buttons", pressing(link(), PHONE)),
    ("button_alone", pressing(FLOW, link()), "components.buttons", pressing(FLOW)),
    ("button_text_missing", pressing(reply("")), "components.buttons[0].text", pressing(COPY)),
    (
        "button_text_too_long",
        pressing(reply("x" * 26)),
        "components.buttons[0].text",
        pressing(reply("x" * 25)),
    ),
    (
        "button_text_formatting",
        pressing(reply("Evet 😃")),
        "components.buttons[0].text",
        pressing(reply("Evet!")),
    ),
    (
        "button_text_repeated",
        pressing(reply("Evet"), reply("evet")),
        "components.buttons[1].text",
        pressing(reply("Evet"), reply("Hayır")),
    ),
    (
        "url_invalid",
        pressing(link("shop.example/o")),
        "components.buttons[0].url.url",
        pressing(link()),
    ),
    (
        "url_insecure",
        pressing(link("http://shop.example")),
        "components.buttons[0].url.url",
        pressing(link()),
    ),
    (
        "url_too_long",
        pressing(link("https://shop.example/" + "x" * 1980)),
        "components.buttons[0].url.url",
        pressing(link("https://shop.example/" + "x" * 1979)),
    ),
    (
        "url_variable",
        pressing(link("https://shop.example/{{1}}/o", example=["https://shop.example/x/o"])),
        "components.buttons[0].url.url",
        pressing(DOOR),
    ),
    (
        "url_variable",
        pressing(link("https://shop.example/{{1}}{{2}}", example=["https://shop.example/x"])),
        "components.buttons[0].url.url",
        pressing(DOOR),
    ),
    (
        "url_host_variable",
        pressing(link("https://shop.example{{1}}", example=["https://shop.example/x"])),
        "components.buttons[0].url.url",
        pressing(DOOR),
    ),
    (
        "url_host_variable",
        pressing(link("https://{{1}}", example=["https://shop.example/x"])),
        "components.buttons[0].url.url",
        pressing(link("https://shop.example?a={{1}}", example=["https://shop.example?a=1"])),
    ),
    (
        "url_example_missing",
        pressing(link("https://shop.example/{{1}}")),
        "components.buttons[0].url.example",
        pressing(DOOR),
    ),
    (
        "url_shortened",
        pressing(link("https://bit.ly/x")),
        "components.buttons[0].url.url",
        pressing(link("https://notbit.ly/x")),
    ),
    (
        "url_whatsapp",
        pressing(link("https://chat.whatsapp.com/x")),
        "components.buttons[0].url.url",
        pressing(link("https://shop.example/wa.me")),
    ),
    (
        "phone_number_invalid",
        pressing(PHONE | {"phone_number": "ara"}),
        "components.buttons[0].phone_number",
        pressing(PHONE),
    ),
    (
        "code_example_missing",
        pressing({"type": "COPY_CODE", "example": ""}),
        "components.buttons[0].copy_code_example",
        pressing(COPY),
    ),
    (
        "code_too_long",
        pressing(COPY | {"example": "x" * 21}),
        "components.buttons[0].copy_code_example",
        pressing(COPY | {"example": "x" * 20}),
    ),
    (
        "flow_missing",
        pressing({"type": "FLOW", "text": "Doldur"}),
        "components.buttons[0].flow",
        pressing(FLOW),
    ),
    ("button_unknown", pressing({"text": "Bas"}), "components.buttons[0]", pressing(reply())),
    ("too_many_of_kind", code(ADVICE, buttons(otp(), otp())), "components.buttons", code()),
]
