"use strict";
// Filter and search the rows; keys to move between them. Without the script, the page shows every row.
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

  function step(by) {
    const visible = rows.filter((row) => !row.hidden);
    const at = visible.indexOf(document.activeElement?.closest?.("article"));
    const next = visible[Math.min(Math.max(at + by, 0), visible.length - 1)];
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "start" });
  }

  buttons.forEach((button) =>
    button.addEventListener("click", () => {
      filter = button.dataset.filter;
      update();
    }),
  );
  search.addEventListener("input", update);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input")) {
      if (event.key === "Escape") event.target.blur();
    } else if (event.key === "/") {
      event.preventDefault();
      search.focus();
    } else if (event.key === "j" || event.key === "k") {
      step(event.key === "j" ? 1 : -1);
    }
  });
})();

// Draw charts in the colours of the page; again when the colour scheme or the width changes, and for printing.
(() => {
  const charts = [...document.querySelectorAll(".chart")].map((place) => {
    const script = place.querySelector("script");
    script.remove();
    return [place, script.textContent];
  });
  if (typeof Plotly === "undefined") {
    document.body.classList.add("bare");
    return;
  }

  function draw() {
    const style = getComputedStyle(document.documentElement);
    const coloured = (text) => text.replace(/var\((--[\w-]+)\)/g, (_, name) => style.getPropertyValue(name).trim());
    for (const [place, text] of charts) {
      const { data, layout } = JSON.parse(coloured(text));
      Plotly.react(place, data, { ...layout, width: place.clientWidth }, { displayModeBar: false });
    }
  }

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(draw, 100);
  });
  addEventListener("beforeprint", draw);
  addEventListener("afterprint", draw);
})();
