// Marks all requests of the page with one box, which is of no use without a script and hidden then.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const all = document.getElementById("approvals-all");
  const marks = Array.from(document.querySelectorAll("input[name=task]"));
  if (!all || marks.length < 2) {
    return;
  }
  all.closest("[hidden]").hidden = false;
  all.addEventListener("change", () => marks.forEach((mark) => (mark.checked = all.checked)));
  for (const mark of marks) {
    mark.addEventListener("change", () => {
      all.checked = marks.every((each) => each.checked);
      all.indeterminate = !all.checked && marks.some((each) => each.checked);
    });
  }
});
