"""What Meta wants of a template as a whole, and of its category: broken and kept."""

from services.sender.templates.draft import MONTH_S
from services.sender.tests.lint_cases.drafts import (
    ADVICE,
    APP,
    CATALOG,
    LIBRARY,
    Case,
    code,
    expires,
    pressing,
    utility,
)
from services.sender.tests.templates import (
    body,
    buttons,
    carousel,
    draft,
    header,
    link,
    otp,
    reply,
)

CASES: list[Case] = [
    ("name_invalid", draft(name="Yeni Sezon"), "name", draft(name="yeni_sezon_2")),
    ("language_unknown", draft(language="tr-TR"), "language", draft(language="pt_BR")),
    (
        "languages_not_authentication",
        draft(language="", languages=["tr", "en"]),
        "languages",
        code(language="", languages=["tr", "en"]),
    ),
    ("category_unknown", draft(category="TRANSACTIONAL"), "category", utility()),
    ("ttl_range", utility(ttl_s=43_201), "message_ttl_duration", utility(ttl_s=43_200)),
    ("ttl_range", draft(ttl_s=43_199), "message_ttl_duration", draft(ttl_s=43_200)),
    ("ttl_range", code(ttl_s=901), "message_ttl_duration", code(ttl_s=MONTH_S)),
    ("library_fixed", draft(body(), **LIBRARY), "components", draft(buttons(link()), **LIBRARY)),
    (
        "promotional_utility",
        utility(body("Siparişin yolda, bu arada İNDİRİM başladı")),
        "components.body.text",
        utility(body("Siparişin yolda, bugün kapında")),
    ),
    (
        "opt_out_missing",
        draft(body()),
        "components",
        draft(body(), buttons(reply()), opt_outs=["button.0"]),
    ),
    (
        "product_not_marketing",
        utility(body(), buttons(CATALOG)),
        "components.buttons[0]",
        pressing(CATALOG),
    ),
    (
        "authentication_fixed",
        code(body("Kodun {{1}}, kimseye verme"), buttons(otp())),
        "components.body.text",
        code(),
    ),
    (
        "authentication_fixed",
        code(header(), ADVICE, buttons(otp())),
        "components.header",
        code(ADVICE, expires(5), buttons(otp())),
    ),
    (
        "authentication_fixed",
        code(ADVICE, buttons(otp(), link())),
        "components.buttons[1]",
        code(),
    ),
    ("otp_missing", code(ADVICE), "components.buttons", code()),
    ("body_missing_of_code", code(buttons(otp())), "components.body", code()),
    ("authentication_fixed", code(ADVICE, carousel()), "components.cards", code()),
    ("otp_not_authentication", pressing(otp()), "components.buttons[0]", code()),
    (
        "otp_kind_missing",
        code(ADVICE, buttons({"type": "OTP"})),
        "components.buttons[0].otp.kind",
        code(),
    ),
    (
        "otp_apps",
        code(ADVICE, buttons(otp("ONE_TAP"))),
        "components.buttons[0].otp.apps",
        code(ADVICE, buttons(otp("ONE_TAP", supported_apps=[APP]))),
    ),
    (
        "zero_tap_terms",
        code(ADVICE, buttons(otp("ZERO_TAP", supported_apps=[APP]))),
        "components.buttons[0].otp.zero_tap_terms_accepted",
        code(
            ADVICE,
            buttons(otp("ZERO_TAP", supported_apps=[APP], zero_tap_terms_accepted=True)),
        ),
    ),
    (
        "code_expiration",
        code(ADVICE, expires(91), buttons(otp())),
        "components.footer.code_expiration_duration",
        code(ADVICE, expires(90), buttons(otp())),
    ),
    (
        "code_expiration",
        code(ADVICE, expires(1.5), buttons(otp())),
        "components.footer.code_expiration_duration",
        code(ADVICE, expires(1), buttons(otp())),
    ),
    (
        "authentication_only",
        utility(body() | ADVICE),
        "components.body.security_recommendation",
        code(),
    ),
]
