"""Pages without figures: signing in, and why there is nothing to see. Pure."""

from services.reports.dashboard.markup import Safe, tag
from services.reports.words import Speech


def sign_in(say: Speech, onward: str, problem: str) -> Safe:
    """The form that asks for the token. `onward`: where its reader wanted to go; `problem`: why
    they are not there yet."""
    return tag(
        "section",
        tag("h1", say("sign_in")),
        tag("p", problem, role="alert", class_="alert") if problem else "",
        tag(
            "form",
            tag("label", say("token"), for_="token"),
            tag(
                "input",
                id="token",
                name="token",
                type="password",
                autocomplete="current-password",
                required=True,
                autofocus=True,
                aria_describedby="hint",
            ),
            tag("p", say("token_hint"), id="hint", class_="hint"),
            tag("input", type="hidden", name="next", value=onward) if onward else "",
            tag("button", say("sign_in")),
            method="post",
            action="/sign-in",
        ),
        class_="card narrow",
    )


def notice(title: str, hint: str) -> Safe:
    """A page that says why there is nothing on it."""
    return tag("section", tag("h1", title), tag("p", hint), class_="card narrow")
