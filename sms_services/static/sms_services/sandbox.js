/* Keeps the sandbox inbox up to date while it is looked at, and copies codes. */
(() => {
  "use strict";

  const INTERVAL = 2000;
  const LONGEST_PAUSE = 30000;
  const HIGHLIGHT = 4000;
  const ANNOUNCED = 3;

  const inbox = document.getElementById("sandbox");
  const desk = document.getElementById("sandbox-desk");
  const news = document.getElementById("sandbox-news");
  if (!inbox || !desk || !news) return;

  const url = new URL(window.location.href);
  url.searchParams.set("fragment", "1");
  url.hash = "";

  let etag = inbox.dataset.etag;
  let newest = newestShown();
  let pause = INTERVAL;
  let timer = 0;
  let busy = false;

  function texts() {
    return [...desk.querySelectorAll("[data-text]")];
  }

  function newestShown() {
    return Math.max(0, ...texts().map((text) => Number(text.dataset.text)));
  }

  async function poll() {
    window.clearTimeout(timer);
    if (busy || document.hidden) return;
    busy = true;
    try {
      const response = await fetch(url, {
        headers: { "If-None-Match": etag },
        cache: "no-store",
        redirect: "manual",
        signal: AbortSignal.timeout(LONGEST_PAUSE),
      });
      if (response.type === "opaqueredirect" || response.status === 403) {
        inbox.dataset.state = "signed-out";
        return;
      }
      if (response.status === 204) {
        inbox.dataset.state = "expired";
        return;
      }
      if (response.ok) {
        show(await response.text());
        etag = response.headers.get("ETag") || "";
      } else if (response.status !== 304) {
        throw new Error(`HTTP ${response.status}`);
      }
      inbox.dataset.state = "live";
      pause = INTERVAL;
    } catch {
      inbox.dataset.state = "offline";
      pause = Math.min(2 * pause, LONGEST_PAUSE);
    } finally {
      busy = false;
    }
    timer = window.setTimeout(poll, pause);
  }

  function show(html) {
    const focused = document.activeElement;
    morph(desk, new DOMParser().parseFromString(html, "text/html").body);
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });

    const arrived = texts().filter((text) => Number(text.dataset.text) > newest);
    if (!arrived.length) return;
    newest = newestShown();
    for (const text of arrived) {
      text.classList.add("is-new");
      window.setTimeout(() => text.classList.remove("is-new"), HIGHLIGHT);
    }
    news.textContent = arrived
      .slice(0, ANNOUNCED)
      .map((text) => `${text.dataset.news}: ${words(text)}`)
      .join("\n");
  }

  function words(text) {
    return text.querySelector(".sandbox-bubble").textContent;
  }

  /* Makes `current` hold what `fresh` holds, and leaves alone what is the same: scroll positions, focus and
     selected text survive. Elements are told apart by their ids; those with data-morph are gone into. */
  function morph(current, fresh) {
    const kept = new Map([...current.children].filter((child) => child.id).map((child) => [child.id, child]));
    let cursor = current.firstElementChild;
    for (const child of [...fresh.children]) {
      const same = child.id ? kept.get(child.id) : cursor && cursor.isEqualNode(child) ? cursor : undefined;
      let placed = same || child;
      if (same && child.hasAttribute("data-morph")) {
        morph(same, child);
      } else if (same && !isUnchanged(same, child)) {
        if (cursor === same) cursor = same.nextElementSibling;
        same.remove();
        placed = child;
      }
      if (placed === cursor) cursor = cursor.nextElementSibling;
      else current.insertBefore(placed, cursor);
    }
    while (cursor) {
      const next = cursor.nextElementSibling;
      cursor.remove();
      cursor = next;
    }
  }

  function isUnchanged(element, fresh) {
    fresh.classList.toggle("is-new", element.classList.contains("is-new"));
    return element.isEqualNode(fresh);
  }

  async function copy(value) {
    try {
      await navigator.clipboard.writeText(value);
    } catch {
      /* There is no clipboard API on plain HTTP. */
      const field = document.createElement("textarea");
      field.value = value;
      field.className = "visually-hidden";
      inbox.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
  }

  desk.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await copy(button.dataset.copy);
    button.focus();
    button.classList.add("is-copied");
    news.textContent = inbox.dataset.copied;
    window.setTimeout(() => button.classList.remove("is-copied"), 1500);
  });

  document.addEventListener("visibilitychange", poll);
  inbox.dataset.state = "live";
  timer = window.setTimeout(poll, INTERVAL);
})();
