// What select2 puts in the place of a field gets the field's name, for screen readers.
"use strict";

django.jQuery(() => {
  for (const select of document.querySelectorAll(".notifications-find select")) {
    const label = document.querySelector(`label[for="${select.id}"]`);
    if (!label) {
      continue;
    }
    const name = label.textContent.replace(/:$/, "");
    for (const box of select.parentElement.querySelectorAll(".select2-search__field, [role=textbox]")) {
      box.setAttribute("aria-label", name);
    }
    const field = select.parentElement.querySelector("[role=combobox][aria-labelledby]");
    if (field) {
      label.id = `${select.id}_label`;
      field.setAttribute("aria-labelledby", `${label.id} ${field.getAttribute("aria-labelledby")}`);
    }
  }
});
