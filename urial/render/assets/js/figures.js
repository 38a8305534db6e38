/* The figures behind the words: intervals, mean distances, and every position on the strip. Folded until asked for. */

function createFigures(store, term, strips) {
  const head = h("tr");
  const body = h("tbody");
  const table = h("table", { class: "uv-table uv-figures-table" }, h("thead", null, head), body);
  const note = h("p", { class: "uv-soft" }, "In brackets the ", term("interval"), ", which treats tokens as independent.");
  const el = h("details", { class: "uv-figures" }, h("summary", null, "Figures: intervals, KL and JS, every position"), table, note, strips.el);
  const titles = [...CLASS_ORDER.map((cls) => term(CLASS_NAMES[cls])), term("kl", "mean KL, nats"), term("js", "mean JS, nats")];

  function update(topics) {
    if (!el.open) return;
    strips.update(topics);
    if ([...topics].every((topic) => POINTER_TOPICS.has(topic))) return;
    const held = heldContexts(store);
    const names = contextNames(store.meta && store.meta.settings);
    const columns = held.map((name) => figuresOf(store, store.contexts[name]));
    replace(head, h("td"), held.map((name) => h("th", { scope: "col" }, `the base sees ${names[name]}`)));
    replace(body, titles.map((title, i) => h("tr", null, h("th", { scope: "row" }, title), columns.map((column) => h("td", null, column[i])))));
  }
  el.addEventListener("toggle", () => update(new Set(["data", "ui", "meta"])));
  return { el, update, pointed: true };
}

/* The column of one context: three shares with their intervals, two means over the rows that count. */
function figuresOf(store, context) {
  const tallied = tally(store, context);
  const rows = countedRows(store, context);
  const js = rows.length ? rows.reduce((sum, row) => sum + row.js, 0) / rows.length : null;
  return [...CLASS_ORDER.map((cls) => shareWithRange(tallied, cls)), nats(tallied.meanKl), nats(js)];
}

function shareWithRange(tallied, cls) {
  const interval = wilson(tallied[cls], tallied.n);
  return interval ? `${shareOf(tallied, cls)} (${intervalText(interval)})` : "–";
}

function intervalText([low, high]) {
  return `${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)}`;
}
