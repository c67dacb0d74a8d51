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
    if (event.target.closest("[data-palette]")) {
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
  list.addEventListener("combobox-commit", (event) => {
    // Enter follows the link as a click does.
    const link = event.target.closest("a");
    if (link) { dialog.close(); }
  });
}
document.querySelectorAll("[data-hotkey]").forEach((one) => install(one));
