// Follows a notification while its page is looked at. The server words and draws everything; this puts it in its place.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const panel = document.getElementById("notification-progress");
  if (panel && panel.dataset.live === "yes") {
    follow(panel);
  }
});

function follow(panel) {
  const WINDOW = 20000; // the speed is that of the last seconds
  const LONGEST_PAUSE = 60000;
  const NEWS_EVERY = 15000; // a screen reader is told now and then
  const news = panel.querySelector("[data-news]");
  const stale = panel.querySelector("[data-stale]");
  const OLD = 60000; // it may have been paused since
  const samples = [{ at: Date.now(), left: Number(panel.dataset.left) }];
  let wrong = panel.dataset.wrong;
  let status = panel.dataset.status;
  let label = panel.dataset.label;
  let pause = Number(panel.dataset.interval);
  let told = Date.now();
  let live = true;
  let busy = false;
  let timer = window.setTimeout(poll, pause);

  async function poll() {
    window.clearTimeout(timer);
    if (busy || document.hidden || !live) {
      return;
    }
    busy = true;
    const asked = Date.now();
    try {
      const url = new URL(panel.dataset.url, window.location.href);
      while (samples.length && asked - samples[0].at > OLD) {
        samples.shift();
      }
      if (samples.length) {
        url.searchParams.set("left", samples[0].left);
        url.searchParams.set("ms", asked - samples[0].at);
      }
      url.searchParams.set("wrong", wrong);
      const response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(LONGEST_PAUSE) });
      if (!response.ok || response.redirected) {
        throw new Error(`HTTP ${response.status}`);
      }
      show(await response.json());
      stale.hidden = true;
    } catch {
      stale.hidden = false;
      pause = Math.min(2 * pause, LONGEST_PAUSE);
    } finally {
      busy = false;
    }
    if (live) {
      // A server that takes long to count is asked less often.
      timer = window.setTimeout(poll, Math.max(pause, 5 * (Date.now() - asked)));
    }
  }

  function show(answer) {
    for (const [name, html] of Object.entries(answer.parts)) {
      if (name !== "buttons" || answer.label !== label || answer.wrong !== Number(wrong)) {
        put(panel.querySelector(`[data-part="${name}"]`), html);
      }
    }
    for (const [field, words] of Object.entries(answer.fields)) {
      const place = document.querySelector(`.field-${field} .readonly`);
      if (place) {
        place.textContent = words;
      }
    }
    const now = Date.now();
    if (answer.status !== status || answer.status !== "running") {
      samples.length = 0; // what was paused is not slow
    }
    samples.push({ at: now, left: answer.left });
    while (samples.length > 2 && now - samples[0].at > WINDOW) {
      samples.shift();
    }
    if (answer.status !== status || !answer.live || now - told > NEWS_EVERY) {
      news.textContent = answer.sentence;
      told = now;
    }
    wrong = String(answer.wrong);
    status = answer.status;
    label = answer.label;
    pause = answer.interval;
    live = answer.live;
  }

  // What has the focus keeps it: links and buttons are told apart by their keys.
  function put(part, html) {
    const fresh = new DOMParser().parseFromString(html, "text/html").body;
    fresh.querySelectorAll("noscript").forEach((element) => element.remove());
    const focused = part.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    part.replaceChildren(...fresh.childNodes);
    const again = focused && part.querySelector(`[data-key="${focused}"]`);
    if (again) {
      again.focus({ preventScroll: true });
    }
  }

  document.addEventListener("visibilitychange", poll);
}
