// Another template has other variables: ask for them at once instead of with the button. And send once per click.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector(".sms-test");
  const button = document.querySelector("[data-show-variables]");
  const template = document.getElementById("id_template");
  if (button && template) {
    button.hidden = true;
    template.addEventListener("change", () => button.click());
  }
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
    } else if (event.submitter !== button) {
      form.dataset.sent = "yes";
    }
  });
  window.addEventListener("pageshow", () => delete form.dataset.sent);
});
