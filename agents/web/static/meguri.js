// Comfort only: every page works without this file.
"use strict";

// One click is one click: a form is sent once. The key inside it guards where this file does not run.
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    form.setAttribute("aria-busy", "true");
  });
}
// Coming back by the browser's history, the form can be sent again.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-once]")) {
    delete form.dataset.sent;
    form.removeAttribute("aria-busy");
  }
});

// A scanner types the code and presses Enter: go on to the next field instead of sending the form.
document.addEventListener("keydown", (event) => {
  const field = event.target;
  if (event.key !== "Enter" || !(field instanceof HTMLInputElement) || !field.classList.contains("scan")) return;
  const form = field.form;
  if (!form || form.method === "get" || "scan" in form.dataset) return;
  event.preventDefault();
  field.value = field.value.trim().toUpperCase();
  const fields = [...form.elements].filter((one) => one.type !== "hidden" && !one.disabled && one.offsetParent);
  const next = fields[fields.indexOf(field) + 1];
  if (next) next.focus();
});

// One more row, without a round trip.
for (const rows of document.querySelectorAll("fieldset.rows")) {
  const button = rows.querySelector("button[name=more]");
  button.addEventListener("click", (event) => {
    event.preventDefault();
    const all = rows.querySelectorAll(".row-of");
    const copy = all[all.length - 1].cloneNode(true);
    const name = rows.dataset.rows;
    const from = `${name}-${all.length - 1}-`;
    const to = `${name}-${all.length}-`;
    for (const one of copy.querySelectorAll("[name],[id],[for]")) {
      for (const attribute of ["name", "id", "for"]) {
        const value = one.getAttribute(attribute);
        if (value) one.setAttribute(attribute, value.replace(from, to));
      }
      if (one.matches("input:not([type=checkbox],[type=radio]),textarea")) one.value = "";
      if (one.matches("[type=checkbox],[type=radio]")) one.checked = false;
      one.removeAttribute("aria-invalid");
    }
    for (const wrong of copy.querySelectorAll(".wrong")) wrong.remove();
    button.before(copy);
    copy.querySelector("input,textarea,select").focus();
  });
}

// Show what was chosen.
for (const input of document.querySelectorAll(".upload input[type=file]")) {
  const words = input.nextElementSibling;
  const before = words.textContent;
  input.addEventListener("change", () => {
    words.textContent = [...input.files].map((file) => file.name).join(", ") || before;
  });
}

// A tap selects all that is there to be copied.
for (const text of document.querySelectorAll("[data-select]")) {
  text.addEventListener("focus", () => text.select());
}
