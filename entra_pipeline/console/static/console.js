// What htmx does not do: one box for all rows, a question before what cannot be undone, a form sent when a choice is made.
// A button that restores what is selected says how much that is, and does nothing while it is nothing.
function recount(form) {
  for (const button of form?.querySelectorAll("button[data-counts]") ?? []) {
    const verb = button.dataset.verb ?? "Restore";
    const every = form.querySelector("[type=checkbox][name=every]:checked");
    const boxes = form.querySelectorAll(`[name="${button.dataset.counts}"]:checked`);
    // Rows of one object, such as its links, are one object.
    const number = every ? Number(every.dataset.number) : new Set([...boxes].map((one) => one.value)).size;
    const noun = number === 1 ? button.dataset.noun : `${button.dataset.noun}s`;
    button.disabled = number === 0;
    button.textContent = number ? `${verb} ${number.toLocaleString("en")} ${noun}` : verb;
  }
  const bar = form?.querySelector("[data-selected]");
  if (bar) {
    const boxes = form.querySelectorAll(".tick [name]:checked");
    const every = form.querySelector("[type=checkbox][name=every]:checked");
    const number = every ? Number(every.dataset.number) : new Set([...boxes].map((one) => one.value)).size;
    bar.textContent = number ? `${number.toLocaleString("en")} selected` : "Nothing selected";
  }
}
// What goes with another choice is out of sight, and is not sent.
function suit(form) {
  for (const part of form?.querySelectorAll("fieldset[data-when]") ?? []) {
    const [name, values] = part.dataset.when.split("=");
    part.hidden = part.disabled = !values.split(" ").includes(form.elements[name]?.value);
  }
}
document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.matches("[data-all]")) {
    box.closest("form").querySelectorAll(box.dataset.all).forEach((one) => { one.checked = box.checked; });
  }
  if (box.matches("[data-send]")) {
    box.form.requestSubmit();
  }
  recount(box.form);
  suit(box.form);
  // Before whoever sends the form for this change.
}, true);
// Enter in a field that only finds something sends no form.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches("form[method=post] input[type=search]")) {
    event.preventDefault();
  }
});
document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.ask || event.target.dataset.ask;
  const form = event.target;
  if (form.ariaBusy === "true" || (question && !window.confirm(question))) {
    event.preventDefault();
  } else if (form.method === "post" && !("again" in form.dataset)) {
    // Its answer may take a while: until then it is not sent once more.
    form.ariaBusy = "true";
  }
});
// Whoever comes back to a page finds its forms as they were before they were sent.
window.addEventListener("pageshow", () => {
  document.querySelectorAll("form[aria-busy]").forEach((form) => { form.ariaBusy = null; });
  document.querySelectorAll("form:has([data-counts])").forEach(recount);
  document.querySelectorAll("form:has([data-when])").forEach(suit);
});
// Who chooses a link of the menu has done with the menu.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    document.querySelectorAll("details.menu[open]").forEach((menu) => { menu.open = false; });
  }
});
// A name that a search has found joins those that are chosen.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-add]");
  const list = document.querySelector("#chosen");
  if (button && list) {
    const { add, kind, name, detail } = button.dataset;
    const known = [...list.querySelectorAll(`[name=${kind}]`)].find((one) => one.value === add);
    if (known) {
      known.checked = true;
    } else {
      const [item, label, box, text, small] = ["li", "label", "input", "span", "small"].map((tag) => document.createElement(tag));
      Object.assign(box, { type: "checkbox", name: kind, value: add, checked: true });
      small.textContent = detail;
      text.append(`${name} `, small);
      label.className = "option";
      label.append(box, " ", text);
      item.append(label);
      list.append(item);
    }
    button.disabled = true;
    button.textContent = "Added";
  }
});
// A tree of choices: a box for each branch and one for all, which are half set where some are; and a text to find them by.
function grow(tree) {
  const shown = (one) => !one.closest(".option").hidden;
  const settle = (box, leaves) => {
    const ticked = leaves.filter((one) => one.checked).length;
    box.checked = leaves.length > 0 && ticked === leaves.length;
    box.indeterminate = ticked > 0 && !box.checked;
    return ticked;
  };
  const all = [...tree.querySelectorAll("[name=types]")];
  for (const branch of tree.querySelectorAll(".branch")) {
    const leaves = [...branch.querySelectorAll("[name=types]")];
    branch.hidden = !leaves.some(shown);
    settle(branch.querySelector("[data-branch]"), leaves.filter(shown));
    branch.querySelector("[data-count]").textContent = `${leaves.filter((one) => one.checked).length} of ${leaves.length}`;
  }
  settle(tree.querySelector("[data-every]"), all.filter(shown));
  tree.querySelector("[data-total]").textContent = `${all.filter((one) => one.checked).length} of ${all.length} types`;
}
document.addEventListener("change", (event) => {
  const tree = event.target.closest(".tree");
  if (tree) {
    const within = event.target.matches("[data-every]") ? tree : event.target.matches("[data-branch]") ? event.target.closest(".branch") : null;
    within?.querySelectorAll(".option:not([hidden]) > [name=types]").forEach((one) => { one.checked = event.target.checked; });
    grow(tree);
  }
});
document.addEventListener("input", (event) => {
  if (event.target.matches(".tree [data-filter]")) {
    const tree = event.target.closest(".tree");
    const text = event.target.value.trim().toLowerCase();
    for (const branch of tree.querySelectorAll(".branch")) {
      const whole = branch.querySelector("summary").textContent.toLowerCase().includes(text);
      for (const option of branch.querySelectorAll(".option")) {
        option.hidden = !whole && !`${option.textContent} ${option.title}`.toLowerCase().includes(text);
      }
      branch.querySelector("details").open = text !== "" && !whole;
    }
    grow(tree);
  }
});
// Where a page cannot be renewed, it says so, until it can be again.
function lost(yes) {
  document.querySelector("#lost").hidden = !yes;
}
document.addEventListener("htmx:afterRequest", (event) => lost(event.detail.xhr.status === 0 || event.detail.xhr.status >= 500));
window.addEventListener("offline", () => lost(true));
window.addEventListener("online", () => lost(false));
// A page that nobody sees asks for nothing by itself.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.elt.matches("[hx-trigger^=every]")) {
    event.preventDefault();
  }
});
// A log that is put anew stays where it was read; at its end, it follows what comes. What is new of a job is said once.
let readTo = null;
document.addEventListener("htmx:beforeSwap", () => {
  const log = document.querySelector("#log");
  readTo = log && log.scrollTop + log.clientHeight < log.scrollHeight - 4 ? log.scrollTop : null;
});
document.addEventListener("htmx:afterSettle", () => {
  const log = document.querySelector("#log");
  const [told, badge, state] = ["#told", "#job h1", "#state"].map((one) => document.querySelector(one));
  if (log) {
    log.scrollTop = readTo ?? log.scrollHeight;
  }
  if (told && badge && state) {
    const news = `${badge.innerText} ${state.innerText}`;
    if (told.textContent !== news) {
      told.textContent = news;
    }
  }
});
document.addEventListener("DOMContentLoaded", () => {
  document.querySelector("#log")?.scrollTo(0, 1e9);
  document.querySelectorAll(".tree").forEach(grow);
  document.querySelectorAll("form:has([data-when])").forEach(suit);
});
// Moments are shown in the reader's own time zone; UTC stays on hover.
const own = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "short" });
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
// Calendars are made where the zone is known: in the next page that is opened.
document.cookie = `zone=${zone}; path=/; SameSite=Strict; max-age=31536000`;
function localise(root) {
  if (zone === "UTC") {
    return;
  }
  for (const one of root.querySelectorAll("time[datetime]:not([data-own])")) {
    const text = own.format(new Date(one.dateTime));
    one.dataset.own = "";
    if ("told" in one.dataset) {
      one.title = `${text} · ${one.title}`;
    } else {
      one.textContent = text;
    }
  }
}
// On a phone each row of a table is a card: its cells are named after their columns.
function nameCells(root) {
  for (const table of root.querySelectorAll(".scroll > table:not(.kv, .by-cell)")) {
    const columns = [...table.querySelectorAll("thead th")].map((one) => one.textContent.trim());
    if (!columns.length || table.closest(".calendar")) {
      continue;
    }
    table.classList.add("by-cell");
    for (const row of table.tBodies[0]?.rows ?? []) {
      [...row.cells].forEach((cell, place) => {
        cell.dataset.column = columns[place] ?? "";
        cell.classList.toggle("void", !cell.textContent.trim() && !cell.firstElementChild);
      });
    }
  }
}
// A table that has all its rows is sorted where it is.
function makeSortable(root) {
  for (const head of root.querySelectorAll("table[data-sortable] thead th:not(.tick, :has(button, a)):not(:empty)")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
  }
}
const told = (cell) => cell.querySelector("time")?.dateTime ?? cell.dataset.value ?? cell.textContent.trim();
document.addEventListener("click", (event) => {
  const button = event.target.closest("th > .sort");
  if (!button) {
    return;
  }
  const head = button.parentElement, place = head.cellIndex, body = head.closest("table").tBodies[0];
  const down = head.ariaSort === "ascending";
  head.parentElement.querySelectorAll("[aria-sort]").forEach((one) => one.removeAttribute("aria-sort"));
  head.ariaSort = down ? "descending" : "ascending";
  const numeric = head.matches(".number");
  const value = (row) => numeric ? Number(told(row.cells[place]).replace(/[^\d.-]/g, "") || -1) : told(row.cells[place]);
  const order = (one, other) => numeric ? value(one) - value(other) : value(one).localeCompare(value(other), "en", { numeric: true });
  body.append(...[...body.rows].sort((one, other) => (down ? -1 : 1) * order(one, other)));
});
function dress(root) {
  localise(root);
  makeSortable(root);
  nameCells(root);
}
document.addEventListener("DOMContentLoaded", () => dress(document));
document.addEventListener("htmx:load", (event) => dress(event.detail.elt.parentElement ?? document));

// An object opens beside the list that it was found in.
const side = () => document.querySelector("#side");
let opener = null;
async function openSide(link) {
  const panel = side();
  opener = panel.contains(link) ? opener : link;
  document.querySelectorAll("tr[aria-current]").forEach((one) => one.removeAttribute("aria-current"));
  opener?.closest("tr")?.setAttribute("aria-current", "true");
  panel.hidden = false;
  document.body.classList.add("beside-side");
  const url = new URL(link.href);
  url.searchParams.set("panel", "1");
  await htmx.ajax("GET", url.pathname + url.search, { target: "#side-content", swap: "innerHTML" });
  panel.scrollTop = 0;
  panel.querySelector("h1")?.focus();
}
function closeSide() {
  const panel = side();
  if (!panel || panel.hidden) {
    return false;
  }
  panel.hidden = true;
  document.body.classList.remove("beside-side");
  opener?.closest("tr")?.removeAttribute("aria-current");
  opener?.focus();
  return true;
}
document.addEventListener("click", (event) => {
  if (event.target.closest("#side-close")) {
    closeSide();
  }
  const link = event.target.closest("a[data-panel]");
  if (link && side() && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    openSide(link);
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
    closeSide();
  }
});
