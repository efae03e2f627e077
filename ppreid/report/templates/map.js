/* the map: a point shows its image and those of its cluster; it zooms, and a line around points chooses them */
if (one("#points")) {
  const data = JSON.parse(one("#map-data").textContent), svg = one("#points"), detail = one("#detail"), chosen = one("#chosen");
  const bar = one('[data-filters="map"]'), circles = all("circle", svg), line = one("#lasso");
  const WIDTH = svg.viewBox.baseVal.width, HEIGHT = svg.viewBox.baseVal.height, RADIUS = 4.5, CLOSEST = 40, ON_SHEET = 200;
  const view = { x: 0, y: 0, width: WIDTH };
  const number = ({ cluster }) => cluster === null || cluster < 0 ? Number.MAX_SAFE_INTEGER : cluster;
  const order = data.map((_, index) => index).sort((a, b) => number(data[a]) - number(data[b]) || data[a].x - data[b].x);
  let here = -1, locked = false, picked = new Set();
  const element = (name, properties, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const image = (point) => {
    const made = element("img", { src: point.picture, alt: point.text, title: point.text });
    made.dataset.path = point.path;
    return made;
  };
  const shown = (index) => !circles[index].hasAttribute("display");
  const limit = (value, low, high) => Math.min(Math.max(value, low), high);

  const draw = () => {
    const scale = view.width / WIDTH, height = HEIGHT * scale;
    view.x = limit(view.x, 0, WIDTH - view.width);
    view.y = limit(view.y, 0, HEIGHT - height);
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${height}`);
    circles.forEach((circle) => circle.setAttribute("r", RADIUS * scale));
    svg.classList.toggle("held", scale < 1 || checked(bar, "map-drag") === "choose"); // else a finger scrolls the page
  };
  const place = (event) => {
    const box = svg.getBoundingClientRect(), scale = view.width / box.width;
    return { x: view.x + (event.clientX - box.left) * scale, y: view.y + (event.clientY - box.top) * scale };
  };
  const middle = () => here >= 0 ? data[here] : { x: view.x + view.width / 2, y: view.y + view.width * HEIGHT / WIDTH / 2 };
  const zoom = (factor, at) => { // what is at the place stays there
    const width = limit(view.width / factor, WIDTH / CLOSEST, WIDTH), shrunk = width / view.width;
    Object.assign(view, { x: at.x - (at.x - view.x) * shrunk, y: at.y - (at.y - view.y) * shrunk, width });
    draw();
  };
  const follow = ({ x, y }) => {
    const height = view.width * HEIGHT / WIDTH;
    if (x < view.x || x > view.x + view.width || y < view.y || y > view.y + height) {
      Object.assign(view, { x: x - view.width / 2, y: y - height / 2 });
      draw();
    }
  };

  const select = (index) => {
    here = index;
    svg.classList.toggle("selected", index >= 0);
    if (index < 0) return;
    const point = data[index], inCluster = point.cluster !== null && point.cluster >= 0;
    const same = data.map((_, other) => other).filter((other) => inCluster && data[other].cluster === point.cluster);
    circles.forEach((circle) => circle.classList.remove("same", "here"));
    same.forEach((other) => circles[other].classList.add("same"));
    circles[index].classList.add("here");
    const others = same.filter((other) => other !== index);
    const about = inCluster ? `Cluster ${point.cluster}: ${others.length} more on this map` : point.cluster === null ? "No labels yet" : "Outlier";
    detail.replaceChildren(
      ...(point.picture ? [image(point)] : []), element("p", {}, point.text),
      element("p", { className: "note" }, about, ...(locked ? [element("br", {}), "Locked: Escape, or a click beside the points, lets go."] : [])),
      element("div", { className: "shots" }, ...others.slice(0, 12).filter((other) => data[other].picture).map((other) => image(data[other]))),
    );
    reachable(detail);
  };
  const choose = (indices) => {
    picked = new Set(indices);
    circles.forEach((circle, index) => circle.classList.toggle("picked", picked.has(index)));
    chosen.hidden = !picked.size;
    const points = order.filter((index) => picked.has(index)).map((index) => data[index]);
    const counted = (key) => new Set(points.map((point) => point[key]).filter((value) => value !== null && value >= 0)).size;
    one("output", chosen).textContent = `${points.length} images, ${counted("cluster")} clusters, ${counted("camera")} cameras`;
    const rest = points.length - ON_SHEET;
    one(".shots", chosen).replaceChildren(
      ...points.slice(0, ON_SHEET).filter((point) => point.picture).map(image),
      ...(rest > 0 ? [element("span", { className: "more" }, `+ ${rest}`)] : []),
    );
    reachable(chosen);
  };
  const nearest = (event) => {
    const { x, y } = place(event);
    let best = -1, least = (30 * view.width / WIDTH) ** 2;
    data.forEach((point, index) => {
      const distance = (point.x - x) ** 2 + (point.y - y) ** 2;
      if (distance < least && shown(index)) [best, least] = [index, distance];
    });
    return best;
  };
  const inside = ({ x, y }, corners) => corners.reduce((odd, a, index) => { // a ray to the right crosses the line an odd number of times
    const b = corners[(index + 1) % corners.length];
    return (a.y > y) !== (b.y > y) && x < a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x) ? !odd : odd;
  }, false);
  const paint = () => {
    const colour = checked(bar), camera = one("#map-camera").value, outliersOnly = one("#map-outliers").checked;
    circles.forEach((circle, index) => {
      const { cluster, camera: own } = data[index], value = colour === "camera" ? own : cluster;
      circle.setAttribute("class", colour === "cluster" && cluster === -1 ? "outlier" : `k${Math.max(value ?? 0, 0) % 6 + 1}`);
      circle.classList.toggle("picked", picked.has(index));
      const hide = (camera !== "" && String(own) !== camera) || (outliersOnly && cluster !== -1);
      if (hide) circle.setAttribute("display", "none"); else circle.removeAttribute("display");
    });
    select(here >= 0 && shown(here) ? here : -1);
    draw();
  };

  /* one pointer moves the map or draws the line, two pinch */
  const pointers = new Map();
  let corners = null, begun = null, dragged = false;
  const trace = () => line.setAttribute("d", corners ? `M${corners.map(({ x, y }) => `${x} ${y}`).join("L")}Z` : "");
  svg.addEventListener("pointerdown", (event) => {
    svg.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
    corners = checked(bar, "map-drag") === "choose" && pointers.size === 1 ? [place(event)] : null;
    if (pointers.size === 1) [begun, dragged] = [event, false];
    trace();
  });
  svg.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) {
      if (!locked && nearest(event) !== here && nearest(event) >= 0) select(nearest(event));
      return;
    }
    const apart = () => { const [a, b] = pointers.values(); return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY); };
    const before = pointers.get(event.pointerId), distance = pointers.size === 2 ? apart() : 0;
    pointers.set(event.pointerId, event);
    dragged ||= pointers.size > 1 || Math.hypot(event.clientX - begun.clientX, event.clientY - begun.clientY) > 4;
    if (pointers.size === 2) {
      const [a, b] = pointers.values();
      zoom(apart() / Math.max(distance, 1), place({ clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2 }));
    } else if (corners) {
      corners.push(place(event));
      trace();
    } else if (dragged) {
      const from = place(before), to = place(event);
      view.x += from.x - to.x;
      view.y += from.y - to.y;
      draw();
    }
  });
  for (const end of ["pointerup", "pointercancel"]) {
    svg.addEventListener(end, (event) => {
      pointers.delete(event.pointerId);
      if (end === "pointerup" && corners && dragged) {
        choose(data.map((_, index) => index).filter((index) => shown(index) && inside(data[index], corners)));
      }
      corners = null;
      trace();
    });
  }
  svg.addEventListener("click", (event) => {
    if (dragged) return;
    const found = nearest(event);
    locked = found >= 0;
    select(found);
  });
  svg.addEventListener("wheel", (event) => {
    if (event.deltaY > 0 && view.width >= WIDTH) return; // the page scrolls on
    event.preventDefault();
    zoom(1.2 ** limit(-event.deltaY / 50, -2, 2), place(event));
  }, { passive: false });
  const keys = {
    Escape: () => { locked = false; select(-1); },
    "+": () => zoom(1.5, middle()), "=": () => zoom(1.5, middle()), "-": () => zoom(1 / 1.5, middle()), 0: () => zoom(0, middle()),
    Enter: () => { if (here >= 0 && one("img", detail)) open(one("img", detail)); },
    " ": () => { if (here >= 0) choose(picked.has(here) ? [...picked].filter((index) => index !== here) : [...picked, here]); },
  };
  svg.addEventListener("keydown", (event) => {
    const visible = order.filter(shown), by = turn[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || !(keys[event.key] || by)) return;
    event.preventDefault();
    if (keys[event.key]) { keys[event.key](); return; }
    locked = true;
    if (!visible.length) return;
    select(visible[(visible.indexOf(here) + by + visible.length) % visible.length]);
    follow(data[here]);
  });
  all("[data-zoom]", bar).forEach((button) => button.addEventListener("click", () => zoom(Number(button.dataset.zoom), middle())));
  one("button", chosen).addEventListener("click", () => choose([]));
  bar.hidden = false;
  bar.addEventListener("change", paint);
  draw();
}
