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
const checked = (bar) => one("input[type=radio]:checked", bar).value;
filtered("queries", (bar) => ({
  kind: checked(bar), camera: one("select", bar).value, first: one("[type=checkbox]", bar).checked ? "wrong" : "",
}));
filtered("sheets", (bar) => ({ kind: checked(bar) }));

/* the map: a point shows its image and those of its cluster */
if (one("#points")) {
  const data = JSON.parse(one("#map-data").textContent), svg = one("#points"), detail = one("#detail");
  const bar = one('[data-filters="map"]'), circles = all("circle", svg);
  const number = ({ cluster }) => cluster === null || cluster < 0 ? Number.MAX_SAFE_INTEGER : cluster;
  const order = data.map((_, index) => index).sort((a, b) => number(data[a]) - number(data[b]) || data[a].x - data[b].x);
  let here = -1, pinned = false;
  const element = (name, properties, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const image = (point) => element("img", { src: point.picture, alt: point.text, title: point.text });
  const shown = (index) => !circles[index].hasAttribute("display");
  const select = (index) => {
    here = index;
    svg.classList.toggle("chosen", index >= 0);
    if (index < 0) return;
    const point = data[index], inCluster = point.cluster !== null && point.cluster >= 0;
    const same = data.map((_, other) => other).filter((other) => inCluster && data[other].cluster === point.cluster);
    circles.forEach((circle) => circle.classList.remove("same", "here"));
    same.forEach((other) => circles[other].classList.add("same"));
    circles[index].classList.add("here");
    const others = same.filter((other) => other !== index);
    const about = inCluster ? `Cluster ${point.cluster}: ${others.length} more on this map` : point.cluster === null ? "No labels yet" : "Outlier";
    detail.replaceChildren(
      ...(point.picture ? [image(point)] : []), element("p", {}, point.text), element("p", { className: "note" }, about),
      element("div", { className: "shots" }, ...others.slice(0, 12).filter((other) => data[other].picture).map((other) => image(data[other]))),
    );
  };
  const nearest = (event) => {
    const box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / box.width;
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    let best = -1, least = 30 ** 2;
    data.forEach((point, index) => {
      const distance = (point.x - x) ** 2 + (point.y - y) ** 2;
      if (distance < least && shown(index)) [best, least] = [index, distance];
    });
    return best;
  };
  const paint = () => {
    const colour = checked(bar), camera = one("#map-camera").value, outliersOnly = one("#map-outliers").checked;
    circles.forEach((circle, index) => {
      const { cluster, camera: own } = data[index], value = colour === "camera" ? own : cluster;
      circle.setAttribute("class", colour === "cluster" && cluster === -1 ? "outlier" : `k${Math.max(value ?? 0, 0) % 6 + 1}`);
      const hide = (camera !== "" && String(own) !== camera) || (outliersOnly && cluster !== -1);
      if (hide) circle.setAttribute("display", "none"); else circle.removeAttribute("display");
    });
    select(here >= 0 && shown(here) ? here : -1);
  };
  svg.addEventListener("pointermove", (event) => { if (!pinned && nearest(event) !== here && nearest(event) >= 0) select(nearest(event)); });
  svg.addEventListener("click", (event) => { const found = nearest(event); pinned = found >= 0; select(found); });
  svg.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { pinned = false; select(-1); return; }
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const visible = order.filter(shown);
    if (visible.length) select(visible[(visible.indexOf(here) + step + visible.length) % visible.length]);
    pinned = true;
  });
  bar.hidden = false;
  bar.addEventListener("change", paint);
}
