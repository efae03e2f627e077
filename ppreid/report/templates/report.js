"use strict";

const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
const one = (selector, root = document) => root.querySelector(selector);

/* light and dark: what the system prefers, until the reader chooses */
{
  const button = one("#theme"), root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => { try { return localStorage.getItem("ppreid-theme"); } catch { return null; } };
  const show = () => {
    const theme = root.dataset.theme || (dark.matches ? "dark" : "light");
    button.textContent = theme === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${button.textContent.toLowerCase()} colours`);
    return theme;
  };
  if (["light", "dark"].includes(stored())) root.dataset.theme = stored();
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = show() === "dark" ? "light" : "dark";
    try { localStorage.setItem("ppreid-theme", root.dataset.theme); } catch { /* a page from a file may not store */ }
    show();
  });
  dark.addEventListener("change", show);
  show();
}

/* charts: the pointer, or the arrow keys, read the values of a place */
for (const chart of all(".chart")) {
  const { x, names, texts } = JSON.parse(chart.dataset.readout);
  const svg = one("svg", chart), cursor = one(".cursor", chart), where = one(".where", chart);
  const outputs = all("output", chart), width = svg.viewBox.baseVal.width;
  let place = -1;
  const read = (index) => {
    place = index;
    const off = index < 0;
    cursor.setAttribute("visibility", off ? "hidden" : "visible");
    where.textContent = off ? "" : names[index];
    outputs.forEach((output, row) => { output.textContent = off ? output.dataset.last : texts[row][index]; });
    if (!off) for (const end of ["x1", "x2"]) cursor.setAttribute(end, x[index]);
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(), at = (event.clientX - box.left) / box.width * width;
    read(x.reduce((best, value, index) => Math.abs(value - at) < Math.abs(x[best] - at) ? index : best, 0));
  });
  svg.addEventListener("pointerleave", () => read(-1));
  svg.addEventListener("blur", () => read(-1));
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    read(place < 0 ? (step > 0 ? 0 : x.length - 1) : Math.min(Math.max(place + step, 0), x.length - 1));
  });
}

/* tables: a click on a column's name sorts, another one turns the order round; dashes stay below */
for (const table of all("table.sortable")) {
  const heads = all("thead th", table), body = one("tbody", table);
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const key = (row) => {
        const { dataset: { value }, textContent } = row.cells[column];
        return value === undefined ? textContent : value === "" ? null : Number(value);
      };
      const order = (a, b) => a === null || b === null ? (a === null) - (b === null)
        : sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
      body.append(...Array.from(body.rows).sort((a, b) => order(key(a), key(b))));
    });
  });
}

/* filters of rank lists and contact sheets: what is chosen must equal the item's data attribute */
const filtered = (name, read) => {
  const bar = one(`[data-filters="${name}"]`), list = document.getElementById(name);
  if (!bar || !list) return;
  const apply = () => {
    const wanted = Object.entries(read(bar)).filter(([, value]) => value !== "");
    const items = Array.from(list.children);
    for (const item of items) item.hidden = wanted.some(([key, value]) => item.dataset[key] !== value);
    one(".count", bar).textContent = `${items.filter((item) => !item.hidden).length} of ${items.length}`;
  };
  bar.hidden = false;
  bar.addEventListener("change", apply);
  apply();
};
const checked = (bar, name = "") => one(`input[type=radio]${name && `[name=${name}]`}:checked`, bar).value;
filtered("queries", (bar) => ({
  kind: checked(bar), camera: one("select", bar).value, first: one("[type=checkbox]", bar).checked ? "wrong" : "",
}));
filtered("sheets", (bar) => ({ kind: checked(bar) }));
