/* The strip under the answer: KL, base rank and base probability over positions, linked with the tokens both ways.
   Pointer only; the token view is the same walk by keys. Bars are one path a class, so that a long answer stays light. */

const STRIP_ROWS = [
  { key: "kl", height: 58, name: "KL" },
  { key: "rank", height: 40, name: "base rank" },
  { key: "pb", height: 40, name: "base probability" },
];
const OPENING = 5; // positions shaded: style is decided early (paper, section 2)

function createStrips(store, term, actions) {
  const strips = new Map(CONTEXTS.map((name) => [name, createStrip(store, name, term, actions)]));
  const el = h("div", { class: "uv-strips" }, [...strips.values()].map((strip) => strip.el));
  function update(topics) {
    const shown = shownContexts(store);
    for (const [name, strip] of strips) {
      strip.el.hidden = !shown.includes(name);
      if (!strip.el.hidden) strip.update(topics, shown.length > 1);
    }
  }
  return { el, update, pointed: true };
}

function createStrip(store, name, term, actions) {
  const title = h("p", { class: "uv-strip-title" });
  const opening = h("p", { class: "uv-soft uv-opening" });
  const charts = STRIP_ROWS.map((row) => createChart(row, term));
  const plot = h("div", { class: "uv-strip-plot" }, charts.map((chart) => chart.el));
  const el = h("div", { class: "uv-strip" }, title, plot, opening);
  linkPointer(plot, charts[0].svg, store, name, actions);

  function update(topics, several) {
    const context = store.contexts[name];
    setText(title, several ? `The base sees ${contextNames(store.meta && store.meta.settings)[name]}` : "");
    title.hidden = !several;
    if (topics.has("data") || topics.has("ui") || topics.has("meta")) {
      charts.forEach((chart) => chart.draw(context.rows, countedRows(store, context)));
      setText(opening, openingText(tally(store, context)));
    }
    charts.forEach((chart) => chart.point(context.rows.length, store.selected, store.hovered));
  }
  return { el, update };
}

function openingText({ openKl, laterKl }) {
  if (openKl === null || laterKl === null) return "The first five positions are shaded.";
  return `The first five positions are shaded: mean KL ${nats(openKl)} nats there, ${nats(laterKl)} after.`;
}

function createChart({ key, height, name }, term) {
  const title = { kl: () => term("kl", "KL, nats"), rank: () => term("rank", "base rank, log scale"), pb: () => h("span", null, "base probability") }[key]();
  const top = h("span", { class: "uv-soft" });
  const shade = svg("rect", { class: "uv-opening-shade", x: 0, y: 0, height });
  const bars = CLASS_ORDER.map((cls) => svg("path", { class: `uv-fill-${cls}` }));
  const hover = svg("rect", { class: "uv-hover-box", y: 0, height });
  const chosen = svg("rect", { class: "uv-chosen-box", y: 1, height: height - 2, "vector-effect": "non-scaling-stroke" });
  const drawing = svg("svg", { preserveAspectRatio: "none", height, role: "img" }, shade, bars, hover, chosen);
  const el = h("div", { class: "uv-chart" }, h("div", { class: "uv-chart-head" }, title, top), drawing);

  function draw(rows, counted) {
    const scale = chartScale(key, counted);
    drawing.setAttribute("viewBox", `0 0 ${Math.max(1, rows.length)} ${height}`);
    shade.setAttribute("width", Math.min(OPENING, rows.length));
    CLASS_ORDER.forEach((cls, i) => bars[i].setAttribute("d", barPath(rows, cls, scale.of, height)));
    setText(top, scale.top);
    drawing.setAttribute("aria-label", `${name} over ${rows.length} positions, ${scale.top}`);
  }
  function point(n, selected, hovered) {
    placeBox(chosen, n, selected);
    placeBox(hover, n, hovered);
  }
  return { el, svg: drawing, draw, point };
}

/* {of: row -> height, 1 is full; top: words for the full height}, from the rows that count: an end token that the base
   would never write must not flatten all others. KL by its square root, so that small values are still seen. */
function chartScale(key, counted) {
  if (key === "pb") return { of: (row) => row.pb, top: "full height 100 %" };
  const most = counted.reduce((max, row) => Math.max(max, row[key]), 0);
  if (key === "rank") {
    const full = Math.log10(Math.max(10, most));
    return { of: (row) => Math.log10(row.rank) / full, top: `lowest place ${whole(most || 1)}` };
  }
  return { of: (row) => Math.sqrt(Math.max(0, row.kl) / (most || 1)), top: `highest ${nats(most)}` };
}

function barPath(rows, cls, of, height) {
  let path = "";
  for (const row of rows) {
    if (!row || row.cls !== cls) continue;
    const tall = Math.max(1.2, (height - 3) * Math.min(1, of(row)));
    path += `M${row.position + 0.12} ${height}v${-tall.toFixed(2)}h.76v${tall.toFixed(2)}z`;
  }
  return path;
}

function placeBox(box, n, position) {
  const inside = position !== null && position < n;
  box.setAttribute("visibility", inside ? "visible" : "hidden");
  if (!inside) return;
  box.setAttribute("x", position);
  box.setAttribute("width", 1);
}

function linkPointer(plot, drawing, store, name, actions) {
  const positionOf = (event) => {
    const box = drawing.getBoundingClientRect();
    const n = store.contexts[name] ? store.contexts[name].rows.length : 0;
    const position = Math.floor(((event.clientX - box.left) / box.width) * n);
    return position >= 0 && position < n ? position : null;
  };
  plot.addEventListener("pointermove", (event) => {
    const position = positionOf(event);
    actions.hover(position);
    if (position !== null && event.pointerType !== "touch") actions.tipAt(name, position);
  });
  plot.addEventListener("pointerleave", () => (actions.hover(null), actions.hideTip()));
  plot.addEventListener("click", (event) => {
    const position = positionOf(event);
    if (position !== null && !event.target.closest("button")) actions.open(position, false);
  });
}
