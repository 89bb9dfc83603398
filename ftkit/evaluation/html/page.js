"use strict";
// Filters and search over the rows. The page reads well without it: everything is then shown.
(() => {
  const rows = [...document.querySelectorAll("#rows > article")];
  const buttons = [...document.querySelectorAll("button[data-filter]")];
  const search = document.getElementById("search");
  const shown = document.getElementById("shown");
  const texts = rows.map((row) => row.textContent.toLowerCase());
  let filter = "all";

  function update() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    rows.forEach((row, index) => {
      const kind = filter === "all" || row.dataset.kind.split(" ").includes(filter);
      const visible = kind && words.every((word) => texts[index].includes(word));
      row.hidden = !visible;
      count += visible ? 1 : 0;
    });
    shown.textContent = count === rows.length ? `${count} rows` : `${count} of ${rows.length} rows`;
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.filter === filter)));
  }

  buttons.forEach((button) =>
    button.addEventListener("click", () => {
      filter = button.dataset.filter;
      update();
    }),
  );
  search.addEventListener("input", update);
})();
