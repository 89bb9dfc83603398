"use strict";
// Filter, sort and search the rows; links from metrics to rows; keys to move between rows. Without the script, the page
// shows every row.
(() => {
  const list = document.getElementById("cards");
  const rows = [...list.children];
  const kinds = [...document.querySelectorAll("input[data-filter]")];
  const facets = [...document.querySelectorAll("select[data-facet]")];
  const sort = document.getElementById("sort");
  const search = document.getElementById("search");
  const shown = document.getElementById("shown");
  let texts = null; // read when first searched: a page may be large

  function has(values, value) {
    return (values ?? "").split(" ").includes(value);
  }

  function update() {
    const kind = kinds.find((input) => input.checked)?.dataset.filter ?? "all";
    const chosen = facets.filter((facet) => facet.value !== "");
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length > 0 && texts === null) texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    let count = 0;
    for (const row of rows) {
      const visible =
        (kind === "all" || (kind === "wrong" ? "failure" in row.dataset : has(row.dataset.kind, kind))) &&
        chosen.every((facet) => has(row.dataset[facet.dataset.facet], facet.value)) &&
        words.every((word) => texts.get(row).includes(word));
      row.hidden = !visible;
      count += visible ? 1 : 0;
    }
    shown.textContent = count === rows.length ? `${count} rows` : `${count} of ${rows.length} rows`;
    reachable(rows.find((row) => !row.hidden));
  }

  function order() {
    const descending = sort.value.startsWith("-");
    const key = `order-${sort.value.replace("-", "")}`.replace(/-(\w)/g, (_, letter) => letter.toUpperCase());
    const value = (row) => (row.dataset[key] === undefined ? Infinity : Number(row.dataset[key]));
    rows.sort((a, b) => {
      const [first, second] = [value(a), value(b)];
      const by = first === second ? 0 : first < second ? -1 : 1;
      return (descending && Number.isFinite(first - second) ? -by : by) || a.dataset.orderPosition - b.dataset.orderPosition;
    });
    list.append(...rows);
    update();
  }

  // One row at a time is in the tab order, with what can be opened in it.
  function reachable(active) {
    for (const row of rows) {
      row.tabIndex = row === active ? 0 : -1;
      row.querySelector("summary").tabIndex = row === active ? 0 : -1;
    }
  }

  function step(by) {
    const visible = rows.filter((row) => !row.hidden);
    const at = visible.indexOf(document.activeElement?.closest?.("article"));
    const next = visible[Math.min(Math.max(at + by, 0), visible.length - 1)];
    if (next === undefined) return;
    reachable(next);
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "start" });
  }

  // "filter=wrong" or "wanted=3&answered=4": show these rows and nothing else.
  function show(wanted) {
    const parameters = new URLSearchParams(wanted);
    const kind = parameters.get("filter") ?? "all";
    for (const input of kinds) input.checked = input.dataset.filter === kind;
    for (const facet of facets) facet.value = parameters.get(facet.dataset.facet) ?? "";
    search.value = "";
    update();
  }

  for (const input of kinds) input.addEventListener("change", update);
  for (const facet of facets) facet.addEventListener("change", update);
  sort.addEventListener("change", order);
  search.addEventListener("input", update);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("[data-show]");
    if (link) show(link.dataset.show);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input[type=search], select")) {
      if (event.key === "Escape") event.target.blur();
    } else if (event.key === "/") {
      event.preventDefault();
      search.focus();
    } else if (event.key === "j" || event.key === "k") {
      step(event.key === "j" ? 1 : -1);
    } else if (event.key === "Enter" && event.target.matches("article")) {
      const details = event.target.querySelector("details");
      details.open = !details.open;
    }
  });
  update();
})();
