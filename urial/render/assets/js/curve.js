/* How much of the answer is there before any tuning: the share of tokens that need at most so much of the tuning,
   one line a context, with its numbers in a table. */

const CURVE = { width: 100, height: 100 }; // the drawing's own units, stretched to its place
const CURVE_ROWS = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];

function createCurve(store, term) {
  const lines = new Map(CONTEXTS.map((name) => [name, svg("path", { class: `uv-curve-line uv-curve-${name}`, "vector-effect": "non-scaling-stroke" })]));
  const size = { viewBox: `0 0 ${CURVE.width} ${CURVE.height}`, preserveAspectRatio: "none", height: 150, role: "img" };
  const middle = svg("path", { class: "uv-curve-half", d: `M0 ${CURVE.height / 2}h${CURVE.width}M${CURVE.width / 2} 0v${CURVE.height}`, "vector-effect": "non-scaling-stroke" });
  const drawing = svg("svg", size, middle, [...lines.values()]);
  const keys = h("ul", { class: "uv-curve-keys" });
  const says = h("p", { class: "uv-soft uv-opening" });
  const table = h("tbody");
  const heads = h("tr");
  const caption = h("caption", { class: "uv-offscreen" }, "Share of tokens that need at most so much of the tuning");
  const numbers = h("details", { class: "uv-curve-numbers" }, h("summary", null, "The curve as a table"), h("table", { class: "uv-table" }, caption, h("thead", null, heads), table));
  const head = h("div", { class: "uv-chart-head" }, h("span", null, "share of tokens by ", term("needs")), h("span", { class: "uv-soft" }, `full height 100${NBSP}%`));
  const axis = h("div", { class: "uv-curve-axis", "aria-hidden": "true" }, [0, 0.5, 1].map((value) => h("span", null, amount(value))));
  const el = h("section", { class: "uv-curve", "aria-label": "How much tuning the answer needs" }, head, h("div", { class: "uv-chart" }, drawing, axis), keys, says, numbers);

  function update() {
    const names = contextNames(store.meta && store.meta.settings);
    const curves = heldContexts(store).map((name) => ({ name, title: names[name], needs: neededAmounts(store, name) })).filter(({ needs }) => needs.length);
    el.hidden = !curves.length;
    for (const [name, line] of lines) line.setAttribute("d", curvePath((curves.find((curve) => curve.name === name) || { needs: [] }).needs));
    replace(keys, curves.map(({ name, title, needs }) => h("li", null, h("span", { class: `uv-curve-key uv-curve-${name}`, "aria-hidden": "true" }), h("span", null, curveWords(title, needs)))));
    drawing.setAttribute("aria-label", curves.map(({ title, needs }) => curveWords(title, needs)).join(" "));
    setText(says, curveLeft(store));
    replace(heads, h("th", { scope: "col" }, "at most"), curves.map(({ title }) => h("th", { scope: "col" }, title)));
    replace(table, CURVE_ROWS.map((most) => h("tr", null, h("th", { scope: "row" }, amount(most)), curves.map(({ needs }) => h("td", null, share(shareWithin(needs, most)))))));
  }
  return { el, update };
}

/* Switch points of the tokens that count and have one, growing. */
function neededAmounts(store, name) {
  return countedRows(store, store.contexts[name]).map((row) => row.needs).filter((needs) => needs !== null).sort((a, b) => a - b);
}

function shareWithin(needs, most) {
  return needs.length ? needs.filter((value) => value <= most).length / needs.length : null;
}

/* A staircase: at each switch point it rises by one token. */
function curvePath(needs) {
  if (!needs.length) return "";
  const x = (value) => (value * CURVE.width).toFixed(2);
  const y = (count) => (CURVE.height * (1 - count / needs.length)).toFixed(2);
  const steps = needs.map((value, i) => `H${x(value)}V${y(i + 1)}`);
  return `M0 ${y(needs.filter((value) => value === 0).length)}${steps.slice(needs.filter((value) => value === 0).length).join("")}H${CURVE.width}`;
}

function curveWords(title, needs) {
  return `Seeing ${title}: ${share(shareWithin(needs, 0))} of ${plural(needs.length, "token")} need no tuning, ${share(shareWithin(needs, 0.5))} at most half of it.`;
}

/* Tokens that are in no curve, and why. */
function curveLeft(store) {
  const context = primaryContext(store);
  const left = context ? countedRows(store, context).filter((row) => row.needs === null).length : 0;
  return left ? `${plural(left, "token")} ${left === 1 ? "is" : "are"} left out: not the aligned model’s own first choice, or not told.` : "";
}
