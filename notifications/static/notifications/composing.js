// Keeps the variables, the number of people and the preview up to date while a form is filled in. The server, which
// shows the form again, does all the thinking; without this script, a button asks it to.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const overview = document.getElementById("notifications-overview");
  const form = overview && overview.closest("form");
  if (form) {
    keepUpToDate(form);
  }
});

function keepUpToDate(form) {
  const RECIPIENTS = ["users", "departments", "roles", "include_subdepartments"];
  const TEXT = "text"; // the people stay the same: they need not be counted again
  const PATIENCE = 300;
  let timer = 0;
  let request = new AbortController();
  let countPeople = false;
  // Django's scripts tell of a change when the page opens, by which a preview follows what a browser has filled in. One
  // that stands below errors is that of the form that was sent: it leaves out what they say.
  let known = form.querySelector(".errors") ? contents() : "";

  // Django's pop-ups and autocomplete fields speak with jQuery's events, which only jQuery hears.
  django.jQuery(form).on("input change", (event) => {
    const name = event.target.name || "";
    if (!name || event.target.type === "datetime-local") {
      return;
    }
    if (contents() === known) {
      return;
    }
    known = "";
    countPeople = countPeople || RECIPIENTS.includes(name);
    request.abort(); // its answer would be of an older form, which may not know a template that was just made
    window.clearTimeout(timer);
    timer = window.setTimeout(update, PATIENCE);
  });

  function contents() {
    return new URLSearchParams(new FormData(form)).toString();
  }

  async function update() {
    request = new AbortController();
    const { signal } = request;
    const withPeople = countPeople;
    const data = new FormData(form);
    data.set("_refresh", withPeople ? "all" : TEXT);
    let fresh;
    try {
      const response = await fetch(form.action || window.location.href, { method: "POST", body: data, signal });
      if (!response.ok || response.redirected) {
        return;
      }
      fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      // The parser takes what is for browsers without scripts for elements, and their buttons for the form's.
      fresh.querySelectorAll("noscript").forEach((element) => element.remove());
    } catch {
      return; // it was aborted, or the next change tries again
    }
    if (signal.aborted) {
      return;
    }
    if (withPeople) {
      countPeople = false;
      replace("notifications-people", fresh);
    }
    replace("notifications-text", fresh);
    const variables = document.getElementById("notifications-variables");
    const others = fresh.getElementById("notifications-variables");
    if (others && variables.dataset.names !== others.dataset.names) {
      replace("notifications-variables", fresh);
    }
    followService(fresh);
  }

  function replace(id, fresh) {
    const current = document.getElementById(id);
    const other = fresh.getElementById(id);
    if (current && other && current.innerHTML !== other.innerHTML) {
      if (id === "notifications-variables") {
        current.dataset.names = other.dataset.names;
      }
      current.replaceChildren(...other.childNodes);
    }
  }

  // Which templates another service can send.
  function followService(fresh) {
    const current = document.getElementById("id_template");
    const other = fresh.getElementById("id_template");
    if (!current || !other || current.innerHTML === other.innerHTML) {
      return;
    }
    const chosen = current.value;
    current.replaceChildren(...other.childNodes);
    current.value = chosen;
  }
}
