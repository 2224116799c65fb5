// Puts the outcome of a test code in the place of the words that it is being sent, as soon as there is one.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const PAUSE = 2000;
  const LONGEST_PAUSE = 30000;
  const waiting = document.querySelector("[data-waiting]");
  let pause = PAUSE;
  if (waiting) {
    window.setTimeout(look, pause);
  }

  async function look() {
    try {
      const response = await fetch(window.location.href, {
        cache: "no-store",
        redirect: "error",
        signal: AbortSignal.timeout(LONGEST_PAUSE),
      });
      if (!response.ok) {
        throw new Error(`HTTP ${response.status}`);
      }
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      if (!page.querySelector("[data-waiting]")) {
        show(page.getElementById("content-main"));
        return;
      }
      pause = PAUSE;
    } catch {
      pause = Math.min(2 * pause, LONGEST_PAUSE);
    }
    window.setTimeout(look, pause);
  }

  // The section stays and its words change, so that a screen reader tells them, and what had the focus is not far.
  function show(fresh) {
    const outcome = fresh.querySelector(".sms-outcome");
    if (!outcome) {
      window.location.reload();
      return;
    }
    const hadFocus = waiting.contains(document.activeElement);
    waiting.className = outcome.className;
    waiting.setAttribute("aria-labelledby", outcome.getAttribute("aria-labelledby"));
    waiting.replaceChildren(...outcome.childNodes);
    if (hadFocus) {
      waiting.tabIndex = -1;
      waiting.focus();
    }
    outcome.remove();
    waiting.after(...fresh.childNodes);
  }
});
