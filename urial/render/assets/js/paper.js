/* The paper's numbers beside this answer's. */

/* This answer above the paper's three pairs, and why they differ. */
function createPaper(store, term) {
  const body = h("tbody");
  const head = h("tr", null, h("th", { scope: "col" }, "pair"), CLASS_ORDER.map((cls) => h("th", { scope: "col" }, CLASS_NAMES[cls])));
  const table = h("table", { class: "uv-table" }, h("caption", { class: "uv-offscreen" }, "This answer beside the paper’s pairs, in per cent"), h("thead", null, head), body);
  const why = h("p", { class: "uv-soft uv-why" });
  const interval = h("p", { class: "uv-soft uv-why" }, "One answer’s shares are uncertain: see the ", term("interval", "95 % intervals"), " among the figures.");
  const el = h("section", { class: "uv-panel" }, h("h3", { class: "uv-title" }, "Beside the paper"), table, why, interval);

  function update() {
    const names = contextNames(store.meta && store.meta.settings);
    const ours = heldContexts(store).map((name) => {
      const tallied = tally(store, store.contexts[name]);
      const values = CLASS_ORDER.map((cls) => (tallied.n ? ((100 * tallied[cls]) / tallied.n).toFixed(1) : "–"));
      return paperRow(`this answer, ${names[name]}`, values, "uv-ours");
    });
    replace(body, ours, PAPER.map((row) => paperRow(row.pair, CLASS_ORDER.map((cls) => row[cls].toFixed(1)), "")));
    setText(why, whyText(store));
  }
  return { el, update };
}

function paperRow(name, values, style) {
  return h("tr", { class: style }, h("th", { scope: "row" }, name), values.map((value) => h("td", null, value)));
}

function whyText(store) {
  const context = primaryContext(store);
  const n = context ? whole(tally(store, context).n) : "no";
  const sampled = store.meta && store.meta.settings && decodingOf(store, "aligned").temperature > 0;
  return (
    `One answer is one sample: yours has ${n} tokens, the paper’s rows are over the answers to 1,000 queries. ` +
    "They also differ in models, templates, system prompts and precision, and the paper counts the end token." +
    (sampled ? " This answer was sampled; the paper’s are greedy." : "")
  );
}
