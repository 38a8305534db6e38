/* The score: the finding in words and whether the paper’s claim holds here, then the classes in per cent for each context. */

function createScore(store, term) {
  const words = h("p", { class: "uv-finding" });
  const verdict = h("span");
  const claim = h("p", { class: "uv-claim" }, CLAIM, " ", verdict);
  const how = h("p", { class: "uv-soft uv-how" }, HOW);
  const meters = h("div", { class: "uv-meters" });
  const repeats = h("p", { class: "uv-soft uv-repeats" });
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
      block.show(headline(store, store.contexts[name]), seesTitle(name, names), held.length > 1 && shown.includes(name));
      return block.el;
    });
    if (wanted.some((el, i) => meters.children[i] !== el) || wanted.length !== meters.children.length) replace(meters, wanted);
    setText(words, findingText(store, held, names));
    setText(verdict, verdictText(store, held));
    setText(repeats, held.length ? paperCount(store, held, names) : "");
    setText(inexact, held.some((name) => !store.contexts[name].exact) ? INEXACT : "");
    setText(unscored, unscoredWords(store, held, names));
  }
  return { el: h("div", null, words, claim, how, meters, repeats, unscored, inexact), update };
}

const LEAST_UNSHIFTED = Math.min(...PAPER.map(({ u }) => u));
const MOST_UNSHIFTED = Math.max(...PAPER.map(({ u }) => u));
const CLAIM =
  "The claim (“The Unlocking Spell on Base LLMs”, ICLR 2024): tuning changes mostly style, and most words of the answer are the base’s own. " +
  `In the paper’s pairs ${LEAST_UNSHIFTED} to ${MOST_UNSHIFTED} % are unshifted.`;
const HOW =
  "At each word of the aligned answer the base was asked what comes next, with all words before it in place. The answer that it writes by itself is another one.";

/* Whether the claim holds in this answer, by the interval of its share; the paper has no other context than the question. */
function verdictText(store, held) {
  if (held[0] !== "zero_shot") return "";
  const { n, u } = headline(store, store.contexts.zero_shot);
  if (!n) return "";
  const [low, high] = wilson(u, n).map((share) => 100 * share);
  const here = `Here it is ${(100 * u / n).toFixed(1)} %`;
  if (low > MOST_UNSHIFTED) return `${here}: more than there.`;
  if (high >= LEAST_UNSHIFTED) return 2 * u > n ? `${here}: as far as one answer can tell, the same.` : `${here}: too few words to tell.`;
  return 2 * u > n ? `${here}: fewer than there, but most.` : `${here}: not most.`;
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
    const label = terms ? terms[cls] : h("span", null, CLASS_NAMES[cls]);
    numbers.append(h("div", null, h("span", { class: `uv-key uv-c-${cls}`, "aria-hidden": "true" }), value, " ", label));
    return value;
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
  bar.hidden = !tallied[cls]; // a part that is not there has no edge either
  bar.style.width = tallied.n ? `${(100 * tallied[cls]) / tallied.n}%` : "0";
  setText(cell, shareOf(tallied, cls));
}

/* The answer in words, before any figure; then what the prompt changes, whichever way it comes out. */
function findingText(store, held, names) {
  const tallies = held.map((name) => headline(store, store.contexts[name]));
  if (!held.length || !tallies[0].n) return "";
  const first = repeatText(countedRows(store, store.contexts[held[0]]).length, tallies[0].n) + tallyText(tallies[0], `Seeing ${names[held[0]]}, the base`);
  return held.length === 2 && tallies[1].n ? `${first} ${changeText(tallies[0], tallies[1], names.urial)}` : first;
}

/* A loop is easy to guess for any model: what repeats says nothing about tuning. */
function repeatText(all, fresh) {
  const again = all - fresh;
  if (!again) return "";
  const circles = 3 * again > all ? "The answer runs in circles: " : "";
  return `${circles}${whole(again)} of its ${plural(all, "piece")} ${again === 1 ? "repeats" : "repeat"} earlier ones word for word and ${again === 1 ? "is" : "are"} left out here. `;
}

/* How many rows the shares leave out, and the paper's own count with them; empty where nothing repeats. */
function paperCount(store, held, names) {
  const all = held.map((name) => tally(store, store.contexts[name]));
  const left = all[0].n - headline(store, store.contexts[held[0]]).n;
  if (!left) return "";
  const shares = held.map((name, i) => `${shareOf(all[i], "s")} shifted seeing ${names[name]}`).join(", ");
  return `These shares leave out ${plural(left, "repeated token")}. With all ${whole(all[0].n)} counted, as in the paper: ${shares}.`;
}

function tallyText({ n, u, m, s }, who) {
  const were = m === 1 ? "1 was its second or third choice" : `${whole(m)} were its second or third choice`;
  return `${who} would have written ${whole(u)} of ${plural(n, "piece")} itself; ${were}; ${whole(s)} came from tuning.`;
}

/* "About the same" where the intervals of the two shares overlap: one answer then cannot tell them apart. */
function changeText(bare, prompted, sees) {
  const [before, after] = [bare, prompted].map(({ s, n }) => wilson(s, n));
  const apart = after[1] < before[0] || before[1] < after[0];
  if (!apart) return `Seeing ${sees} it is about the same: ${whole(prompted.s)} came from tuning.`;
  return `Seeing ${sees}, ${prompted.s < bare.s ? "fewer" : "more"} came from tuning: ${whole(prompted.s)}.`;
}
