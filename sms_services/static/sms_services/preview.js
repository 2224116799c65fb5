// Shows a template's text as it will arrive, while it is being typed. The server does the counting.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  for (const panel of document.querySelectorAll(".sms-preview")) {
    const field = document.getElementById(panel.dataset.textField);
    if (field) {
      watch(panel, field);
    }
  }
});

function watch(panel, field) {
  const body = panel.querySelector(".sms-preview-body");
  let timer;
  let latest = 0;

  async function update() {
    const number = ++latest;
    const data = new FormData();
    data.set("text", field.value);
    for (const input of body.querySelectorAll("[data-sample]")) {
      data.set(`sample_${input.dataset.sample}`, input.value);
    }
    const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
    const response = await fetch(panel.dataset.previewUrl, {
      method: "POST",
      body: data,
      headers: { "X-CSRFToken": token },
    });
    if (response.ok && number === latest) {
      show(await response.text());
    }
  }

  function show(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html").body;
    if (names(fresh) === names(body)) {
      // The same variables: leave their inputs alone, somebody may be typing in one.
      body.querySelector(".sms-result").replaceWith(fresh.querySelector(".sms-result"));
    } else {
      body.replaceChildren(...fresh.childNodes);
    }
  }

  function names(root) {
    return Array.from(root.querySelectorAll("[data-sample]"), (input) => input.dataset.sample).join();
  }

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(update, 250);
  }

  field.addEventListener("input", soon);
  body.addEventListener("input", soon);
  if (field.value) {
    update();
  }
}
