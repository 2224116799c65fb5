// Another template has other variables: ask for them at once instead of with the button.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const button = document.querySelector("[data-show-variables]");
  const template = document.getElementById("id_template");
  if (button && template) {
    button.hidden = true;
    template.addEventListener("change", () => {
      const url = new URL(window.location.href);
      url.search = "";
      url.searchParams.set("template", template.value);
      url.searchParams.set("phone_number", document.getElementById("id_phone_number").value);
      window.location.assign(url);
    });
  }
});
