// Shows what belongs to the kind of a step and of a rule, and keeps the preview of the text up to date. The server, which
// shows the form again, does all the thinking; without this script, everything is visible and a button asks it to.
"use strict";

const FIELD_OF_SOURCE = {
  user: ["user"],
  department: ["department", "include_subdepartments"],
  department_head: ["department"],
  role: ["group"],
  initiator: [],
  subject_field: ["subject_field"],
  resolver: ["resolver"],
};
const OF_SOURCES = ["user", "department", "include_subdepartments", "group", "subject_field", "resolver"];
const ONLY_APPROVALS = [
  "mode",
  "nobody_found",
  "initiator_policy",
  "repeat_policy",
  "approve_comment",
  "reject_comment",
  "may_return",
  "may_transfer",
  "remind_after",
  "escalate_after",
  "escalate_to",
  "escalate_resolver",
];

document.addEventListener("DOMContentLoaded", () => {
  const text = document.getElementById("approvals-text");
  const form = text && text.closest("form");
  if (!form) {
    return;
  }
  let timer = 0;
  let latest = 0;
  showWhatBelongs(form);
  // Django's pop-ups and autocomplete fields speak with jQuery's events, which only jQuery hears.
  django.jQuery(form).on("change", (event) => {
    showWhatBelongs(form);
    if (["sms_service", "sms_template"].includes(event.target.name)) {
      latest += 1; // the answer to an older form may not know a template that was just made
      window.clearTimeout(timer);
      timer = window.setTimeout(update, 150);
    }
  });
  document.addEventListener("formset:added", () => showWhatBelongs(form));

  async function update() {
    const number = latest;
    const data = new FormData(form);
    data.set("_refresh", "text");
    try {
      const response = await fetch(form.action || window.location.href, { method: "POST", body: data });
      if (!response.ok || response.redirected) {
        return;
      }
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      // The parser takes what is for browsers without scripts for elements, and their buttons for the form's.
      fresh.querySelectorAll("noscript").forEach((element) => element.remove());
      if (number === latest) {
        replace(fresh);
      }
    } catch {
      // the next change tries again
    }
  }
});

function replace(fresh) {
  const text = fresh.getElementById("approvals-text");
  if (text) {
    document.getElementById("approvals-text").replaceChildren(...text.childNodes);
  }
  // Which templates another service can send.
  const current = document.getElementById("id_sms_template");
  const other = fresh.getElementById("id_sms_template");
  if (current && other) {
    const chosen = current.value;
    current.replaceChildren(...other.childNodes);
    current.value = chosen;
  }
}

function showWhatBelongs(form) {
  const kind = form.querySelector("[name=kind]");
  if (kind) {
    for (const name of ONLY_APPROVALS) {
      show(form.querySelector(`.form-row.field-${name}`), kind.value === "approval");
    }
    for (const fieldset of form.querySelectorAll("fieldset.module.aligned")) {
      const rows = [...fieldset.querySelectorAll(".form-row")];
      fieldset.hidden = rows.length > 0 && rows.every((row) => row.hidden);
    }
  }
  for (const source of form.querySelectorAll("select[name^=rules-][name$=-source]")) {
    const rule = source.closest(".inline-related");
    for (const name of OF_SOURCES) {
      const box = rule.querySelector(`.fieldBox.field-${name}`);
      show(box && box.parentElement, (FIELD_OF_SOURCE[source.value] || []).includes(name));
    }
  }
}

function show(element, visible) {
  if (element) {
    element.hidden = !visible;
  }
}
