"use strict";
// Brings the page's own entry of the menu into sight, where the menu is wider than the screen.
document.querySelector("header nav [aria-current]")
  ?.scrollIntoView({ block: "nearest", inline: "center" });

// Shows what is new without a reload, while nobody reads closely: not while something inside is
// focused, selected, opened or filled in, not in a hidden tab, and not after a pause was asked for.
const main = document.querySelector("main[data-refresh]");
const button = document.querySelector("[data-pause]");
const status = document.querySelector("[role=status]");
let filled = false; // whether somebody chose something and has not sent it yet
let spoken = 0; // when screen readers were last told, so that they are not told all the time

if (main && button) {
  const every = Number(main.dataset.refresh) * 1000;
  button.hidden = false;
  button.addEventListener("click", () => {
    const paused = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(paused));
  });

  main.addEventListener("input", () => { filled = true; });

  const resting = () =>
    document.visibilityState === "visible" &&
    button.getAttribute("aria-pressed") !== "true" &&
    !main.contains(document.activeElement) &&
    !filled &&
    !main.querySelector("details[open]:not([data-open])") &&
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
    // Wide tables stay where somebody moved them to
    const moved = [...main.querySelectorAll(".scroll")].map((table) => table.scrollLeft);
    main.replaceChildren(...fresh.childNodes);
    main.querySelectorAll(".scroll").forEach((table, n) => { table.scrollLeft = moved[n] ?? 0; });
    const news = main.querySelector("[data-say]");
    if (news && Date.now() - spoken > 60000 && status.textContent !== news.dataset.say) {
      status.textContent = news.dataset.say;
      spoken = Date.now();
    }
  };

  setTimeout(refresh, every);
}
