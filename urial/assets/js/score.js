/* The score: classes in per cent for each context, the finding in a sentence, the paper's numbers beside them. */

function createScore(store, term) {
  const meters = h("div", { class: "uv-meters" });
  const finding = h("p", { class: "uv-finding" });
  const inexact = h("p", { class: "uv-inexact" });
  const unscored = h("p", { class: "uv-inexact uv-unscored" });
  const terms = { u: term("unshifted"), m: term("marginal"), s: term("shifted") };
  const blocks = new Map();

  function update() {
    const held = heldContexts(store);
    const shown = shownContexts(store);
    const names = contextNames(store.meta && store.meta.settings);
    const wanted = held.map((name) => {
      if (!blocks.has(name)) blocks.set(name, createMeter(name === "zero_shot" ? terms : null));
      const block = blocks.get(name);
      block.show(tally(store, store.contexts[name]), seesTitle(name, names), held.length > 1 && shown.includes(name));
      return block.el;
    });
    if (wanted.some((el, i) => meters.children[i] !== el) || wanted.length !== meters.children.length) replace(meters, wanted);
    setText(finding, held.length === 2 ? findingText(store, names) : "");
    setText(inexact, held.some((name) => !store.contexts[name].exact) ? INEXACT : "");
    setText(unscored, unscoredWords(store, held, names));
  }
  return { el: h("div", null, meters, finding, unscored, inexact), update };
}

const INEXACT =
  "Not exact: scored by a server that tells only the head of each list. Ranks and probabilities are its own; KL and JS are lower bounds (≥), beside the share of the aligned mass that they do not cover.";

/* One sentence where it is the same in every context, else one for each. */
function unscoredWords(store, held, names) {
  const texts = held.map((name) => unscoredText(store, store.contexts[name]));
  if (new Set(texts).size <= 1) return texts[0] || "";
  return held.map((name, i) => (texts[i] ? `Where the base sees ${names[name]}, ${texts[i]}` : "")).filter(Boolean).join(" ");
}

function seesTitle(name, names) {
  return `The base sees ${names[name]}${name === "zero_shot" ? " (the paper’s setting)" : ""}`;
}

function createMeter(terms) {
  const title = h("p", { class: "uv-meter-title" });
  const bars = CLASS_ORDER.map((cls) => h("i", { class: `uv-bar uv-bar-${cls}` }));
  const numbers = h("div", { class: "uv-numbers" });
  const cells = CLASS_ORDER.map((cls) => {
    const value = h("b");
    const interval = h("small");
    const label = terms ? terms[cls] : h("span", null, CLASS_NAMES[cls]);
    numbers.append(h("div", null, h("span", { class: `uv-key uv-c-${cls}`, "aria-hidden": "true" }), value, " ", label, interval));
    return { value, interval };
  });
  const count = h("div", { class: "uv-count" });
  numbers.append(count);
  const bar = h("div", { class: "uv-meter", role: "img" }, bars);
  const el = h("div", { class: "uv-meter-block" }, title, bar, numbers);

  function show(tallied, text, chosen) {
    el.classList.toggle("uv-chosen", chosen);
    setText(title, text);
    CLASS_ORDER.forEach((cls, i) => showClass(tallied, cls, bars[i], cells[i]));
    setText(count, `n${NBSP}=${NBSP}${whole(tallied.n)}`);
    bar.setAttribute("aria-label", CLASS_ORDER.map((cls) => `${shareOf(tallied, cls)} ${CLASS_NAMES[cls]}`).join(", "));
  }
  return { el, show };
}

function shareOf(tallied, cls) {
  return share(tallied.n ? tallied[cls] / tallied.n : null);
}

function showClass(tallied, cls, bar, cell) {
  const interval = wilson(tallied[cls], tallied.n);
  bar.style.width = tallied.n ? `${(100 * tallied[cls]) / tallied.n}%` : "0";
  setText(cell.value, shareOf(tallied, cls));
  setText(cell.interval, interval ? `95${NBSP}%: ${intervalText(interval)}` : "");
}

function intervalText([low, high]) {
  return `${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)}`;
}

/* The paper's claim on this answer, whichever way it comes out. */
function findingText(store, names) {
  const [bare, prompted] = ["zero_shot", "urial"].map((name) => tally(store, store.contexts[name]));
  if (!bare.n || !prompted.n) return "";
  const [from, to] = [bare, prompted].map((tallied) => shareOf(tallied, "s"));
  const change = prompted.s < bare.s ? `falls from ${from} to ${to}` : prompted.s > bare.s ? `rises from ${from} to ${to}` : `stays at ${to}`;
  return `With ${names.urial} in sight, the shifted share ${change}; mean KL goes from ${nats(bare.meanKl)} to ${nats(prompted.meanKl)} nats.`;
}

/* This answer above the paper's three pairs, and why they differ. */
function createPaper(store, term) {
  const body = h("tbody");
  const head = h("tr", null, h("th", { scope: "col" }, "pair"), CLASS_ORDER.map((cls) => h("th", { scope: "col" }, CLASS_NAMES[cls])));
  const table = h("table", { class: "uv-table" }, h("caption", { class: "uv-offscreen" }, "This answer beside the paper’s pairs, in per cent"), h("thead", null, head), body);
  const why = h("p", { class: "uv-soft uv-why" });
  const interval = h("p", { class: "uv-soft uv-why" }, "Ranges above: ", term("interval"), ", which treats tokens as independent.");
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
