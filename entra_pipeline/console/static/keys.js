// The search over everything, and the keyboard: what browsers do not bring, by GitHub's elements (vendor/).
import Combobox from "/static/vendor/combobox-nav.js";
import { install } from "/static/vendor/hotkey.js";
import "/static/vendor/clipboard-copy-element.js";

const dialog = document.querySelector("#palette");
const field = document.querySelector("#palette-text");
const list = document.querySelector("#palette-found");
if (dialog) {
  const combobox = new Combobox(field, list, { firstOptionSelectionMode: "active" });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-palette]") && !dialog.open) {
      dialog.showModal();
      field.select();
      combobox.start();
      htmx.trigger(field, "look");
    } else if (event.target === dialog) {
      dialog.close();
    }
  });
  dialog.addEventListener("close", () => combobox.stop());
  list.addEventListener("htmx:afterSettle", () => {
    combobox.clearSelection();
    combobox.indicateDefaultOption();
  });
  // Who follows a link has found it.
  list.addEventListener("combobox-commit", () => dialog.close());
}
document.querySelectorAll("[data-hotkey]").forEach((one) => install(one));
