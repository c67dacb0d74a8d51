// The search over everything, and copying: what browsers do not bring, by GitHub's elements (vendor/).
import Combobox from "/static/vendor/combobox-nav.js";
import "/static/vendor/clipboard-copy-element.js";

const dialog = document.querySelector("#palette");
const field = document.querySelector("#palette-text");
const list = document.querySelector("#palette-found");
if (dialog) {
  const combobox = new Combobox(field, list, { firstOptionSelectionMode: "active" });
  const seek = () => {
    if (!dialog.open) {
      dialog.showModal();
      combobox.start();
      htmx.trigger(field, "look");
    }
    field.select();
  };
  document.addEventListener("keydown", (event) => {
    const writes = event.target.closest?.("input, textarea, select, [contenteditable]");
    const asked = (event.ctrlKey || event.metaKey) ? event.key.toLowerCase() === "k" : event.key === "/" && !writes;
    if (asked && !event.altKey && !event.shiftKey) {
      event.preventDefault();
      seek();
    }
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-palette]")) {
      seek();
    } else if (event.target === dialog) {
      dialog.close();
    }
  });
  dialog.addEventListener("close", () => combobox.stop());
  list.addEventListener("htmx:afterSettle", () => combobox.resetSelection());
  // Who follows a link has found it.
  list.addEventListener("combobox-commit", () => dialog.close());
}
