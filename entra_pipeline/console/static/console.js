// What htmx does not do: one box for all rows, a question before what cannot be undone, a form sent when a choice is made.
document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.matches("[data-all]")) {
    box.closest("form").querySelectorAll(box.dataset.all).forEach((one) => { one.checked = box.checked; });
  }
  if (box.matches("[data-send]")) {
    box.form.requestSubmit();
  }
});
document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.ask || event.target.dataset.ask;
  if (question && !window.confirm(question)) {
    event.preventDefault();
  }
});
// Who chooses a link of the menu has done with the menu.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    document.querySelectorAll("details.menu[open]").forEach((menu) => { menu.open = false; });
  }
});
// A name that a search has found goes into the list above it.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-add]");
  if (button) {
    const list = document.querySelector(button.dataset.to);
    const names = list.value.split("\n").filter((name) => name.trim());
    if (!names.includes(button.dataset.add)) {
      list.value = [...names, button.dataset.add].join("\n");
    }
    button.disabled = true;
    button.textContent = "Added";
  }
});
