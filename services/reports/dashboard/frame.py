"""The document around a page: landmarks, menu, languages, and what a browser may do. Pure."""

from typing import Final

from services.reports.dashboard.markup import Safe, tag
from services.reports.roles import Role
from services.reports.words import LANGUAGES, Speech

MENU: Final = (
    ("/", "overview"),
    ("/live", "live"),
    ("/campaigns", "campaigns"),
    ("/segments", "segments"),
    ("/journeys", "journeys"),
    ("/contacts", "contacts"),
    ("/alerts", "alerts"),
    ("/numbers", "numbers"),
    ("/exports", "exports"),
)
POLICY: Final = (
    "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self';"
    " connect-src 'self'; img-src data:; style-src 'self'; script-src 'self'"
)


def frame(
    say: Speech,
    title: str,
    body: Safe,
    *,
    path: str,
    address: str,
    version: str,
    role: Role | None,
    refresh: int = 0,
) -> str:
    """A whole document around `body`.

    `address`: this page with its query, but for the language. `version`: of the style and script,
    which browsers keep. `refresh`: seconds after which the page shows what is new; 0: never.
    """
    here = next((url for url, _ in MENU[1:] if path == url or path.startswith(f"{url}/")), path)
    menu = tag(
        "nav",
        tag(
            "ul",
            *(
                tag("li", tag("a", say(k), href=url, aria_current="page" if url == here else None))
                for url, k in MENU
            ),
        ),
        aria_label=say("main_menu"),
    )
    mark = "&" if "?" in address else "?"
    languages = tag(
        "ul",
        *(
            tag(
                "li",
                tag(
                    "a",
                    name,
                    href=f"{address}{mark}lang={code}",
                    lang=code,
                    hreflang=code,
                ),
            )
            for code, name in LANGUAGES.items()
            if code != say.language
        ),
        class_="languages",
        aria_label=say("language"),
    )
    pause = tag(
        "button",
        say("pause_short"),
        type="button",
        hidden=True,
        aria_label=say("pause"),
        aria_pressed="false",
        data_pause=True,
    )
    leave = tag("form", tag("button", say("sign_out")), method="post", action="/sign-out")
    header = tag(
        "header",
        tag("a", say("skip"), href="#main", class_="skip"),
        tag("a", "Merhaba", href="/", class_="brand"),
        menu if role else "",
        tag("div", languages, pause if refresh else "", leave if role else "", class_="side"),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · Merhaba"),
        tag("link", rel="icon", href="data:,"),
        tag("link", rel="stylesheet", href=f"/static/{version}/dashboard.css"),
        tag("script", src=f"/static/{version}/dashboard.js", defer=True) if role else "",
    )
    main = tag("main", body, id="main", tabindex="-1", data_refresh=refresh or None)
    status = tag("p", role="status", aria_live="polite", class_="spoken")
    content = tag("body", header, *((main, status) if refresh else (main,)))
    return "<!doctype html>\n" + tag("html", head, content, lang=say.language)
