/* The bar over both answers: which answer (where there is room for one), what the base sees, colours, legend, filters.
   It stays at the top of the window while an answer is in view, so that a choice shows where it is made. */

const SIDES = [
  { value: "aligned", label: "Aligned" },
  { value: "base", label: "Base" },
];

function createBar(store, term, host) {
  const controls = createControls(store, term, host);
  const legend = h("ul", { class: "uv-legend", "aria-label": "Legend with counts" });
  const set = (side) => {
    store.ui.side = side;
    store.changed("ui");
  };
  const side = choices("Answer", SIDES, store.ui.side, set);
  side.el.classList.add("uv-which");
  const more = h("button", { type: "button", class: "uv-button uv-small-button uv-more", "aria-expanded": "false" }, "More");
  const el = h("div", { class: "uv-top", role: "group", "aria-label": "How the answers are shown" });
  more.addEventListener("click", () => more.setAttribute("aria-expanded", String(el.classList.toggle("uv-open"))));
  el.append(h("div", { class: "uv-top-line" }, side.el, controls.el, more), legend, controls.quiet);

  function update() {
    controls.update();
    side.show(store.ui.side);
    showLegend(store, legend);
  }
  return { el, update, quiet: controls.quiet };
}

function showLegend(store, box) {
  if (!store.running && !heldContexts(store).length) return replace(box);
  const context = primaryContext(store) || { rows: [] }; // zeros from the start: what comes then moves nothing
  const counts = [0, 0, 0, 0, 0, 0];
  const rows = countedRows(store, context);
  rows.forEach((row) => (counts[paint(row, store.ui).level] += 1));
  const items = legend(store.ui).map(({ style, label, hint, place }, level) =>
    h("li", { title: hint }, h("span", { class: `uv-key ${style}`, "aria-hidden": "true" }), h("b", null, whole(counts[level])), ` ${label}`, place ? [" ", h("span", { class: "uv-place" }, place)] : []),
  );
  const left = unscoredRows(store, context).length;
  const mark = h("li", { title: "in no share and no mean" }, h("span", { class: "uv-key uv-c-n", "aria-hidden": "true" }), h("b", null, whole(left)), " not scored");
  return replace(box, items, left ? mark : []);
}
