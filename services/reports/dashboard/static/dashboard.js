"use strict";
// Shows what is new without a reload, while nobody reads closely: not while something inside is
// focused or selected, not in a hidden tab, and not after a pause was asked for.
const main = document.querySelector("main[data-refresh]");
const button = document.querySelector("[data-pause]");
const status = document.querySelector("[role=status]");
let spoken = 0; // when screen readers were last told, so that they are not told all the time

if (main && button) {
  const every = Number(main.dataset.refresh) * 1000;
  button.hidden = false;
  button.addEventListener("click", () => {
    const paused = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(paused));
  });

  const resting = () =>
    document.visibilityState === "visible" &&
    button.getAttribute("aria-pressed") !== "true" &&
    !main.contains(document.activeElement) &&
    !main.querySelector("details[open]") &&
    !String(getSelection());

  const refresh = async () => {
    if (resting()) {
      try {
        const answer = await fetch(location.href, {
          credentials: "same-origin",
          redirect: "manual",
        });
        if (answer.type === "opaqueredirect") location.reload(); // the session ended
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.querySelector("main");
        if (answer.ok && fresh && resting()) show(fresh);
      } catch {
        // The figures keep their time; the next turn tries again
      }
    }
    setTimeout(refresh, every);
  };

  const show = (fresh) => {
    main.replaceChildren(...fresh.childNodes);
    const news = main.querySelector("[data-say]");
    if (news && Date.now() - spoken > 60000 && status.textContent !== news.dataset.say) {
      status.textContent = news.dataset.say;
      spoken = Date.now();
    }
  };

  setTimeout(refresh, every);
}
