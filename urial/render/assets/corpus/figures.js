/* The figures of a corpus, each made from summary.json: shares, differences, curves, words, tags, the original's count. */

const SEES = { zero_shot: "only the question", urial: "the method’s prompt" };
const SHARES = ["unshifted", "marginal", "shifted"];
const MEASURES = {
  kl: { label: "KL", title: "KL (nats)" },
  log_rank: { label: "log base rank", title: "ln of the base rank" },
  base_probability: { label: "base probability", title: "base probability", percent: true },
  shifted: { label: "share shifted", title: "share shifted", percent: true },
};

const hundred = (value, digits = 1) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(digits)} %`);
const between = (pair) => (pair ? `${(100 * pair[0]).toFixed(1)} to ${(100 * pair[1]).toFixed(1)}` : "");
const nats = (value) => (value === null || value === undefined ? "–" : value.toFixed(3));

function methodTitle(name) {
  return Object.hasOwn(METHOD_NAMES, name) ? METHOD_NAMES[name] : visible(name);
}

function contextsOf(summary) {
  return Object.entries(summary.methods).flatMap(([method, found]) => Object.entries(found.contexts).map(([context, figures]) => ({ method, context, figures })));
}

/* The main table: a row a method and context, a bar and its numbers; the paper's pairs beneath. */
function sharesPanel(summary, state, choose) {
  const head = ["Method", "The base sees", "", "Unshifted", "Marginal", "Shifted", "KL, nats", "Answers", "Tokens", "Repeats left out"];
  const rows = contextsOf(summary).map(({ method, context, figures }) => shareRow(summary, state, choose, method, context, figures));
  const paper = summary.paper.map((one) => {
    const shares = Object.fromEntries(SHARES.map((name) => [name, one[name] / 100]));
    return h("tr", { class: "uc-paper" }, h("th", { scope: "row", colspan: "2" }, "The paper: ", h("bdi", null, visible(one.pair))), h("td", null, shareBar(shares)), SHARES.map((name) => h("td", null, hundred(shares[name]))), h("td", null, "–"), h("td", null, "1,000"), h("td", null, "–"), h("td", null, "none"));
  });
  const table = h("table", { class: "uv-table uc-shares" }, h("caption", { class: "uv-offscreen" }, "Shares of tokens by method and context"), h("thead", null, h("tr", null, head.map((name) => h("th", { scope: "col" }, name || h("span", { class: "uv-offscreen" }, "Bar"))))), h("tbody", null, rows, paper));
  const all = contextsOf(summary);
  const repeats = all.reduce((sum, { figures }) => sum + (figures.repeats || 0), 0);
  const isOlder = all.some(({ figures }) => figures.repeats === undefined); // figures from before repeats were left out
  const left = isOlder ? "End tokens are left out; the paper counts them. Tokens that repeat an answer’s earlier ones are counted." : repeats ? "End tokens, and tokens that repeat an answer’s earlier ones word for word, are left out; the paper counts both." : "End tokens are left out; the paper counts them.";
  const ends = state.ends ? "All tokens are counted, repeats and end tokens too: the paper’s way." : left;
  const way = state.per === "answer" ? "Means over answers." : "Shares of all tokens together, as in the paper.";
  const note = `${way} ${ends} In brackets 95 % intervals by bootstrap over questions. The paper’s pairs saw only the question, and its ranks are those of the aligned model’s first choice in a list of ten.`;
  return h("section", { class: "uv-panel uc-figure" }, h("h3", { class: "uv-title" }, "How much is shifted"), h("p", { class: "uc-note" }, note), h("div", { class: "uc-scroll", tabindex: "0", role: "region", "aria-label": "Shares, table" }, table), h("div", { class: "uc-keep" }, keepButton("Shares as CSV", "CSV", () => saveFile("urial-corpus-shares.csv", csvBlob(sharesTable(summary))))));
}

function shareRow(summary, state, choose, method, context, figures) {
  const fresh = headline(figures);
  const shown = state.ends ? figures.with_end.pooled : state.per === "answer" ? fresh.per_answer : fresh.pooled;
  const limits = state.ends ? {} : state.per === "answer" ? fresh.per_answer_interval : fresh.interval;
  const name = h("button", { type: "button", class: "uc-link", "aria-pressed": String(state.method === method && state.context === context), on: { click: () => choose({ method, context }) } }, methodTitle(method));
  const cell = (key) => h("td", null, hundred(shown[key]), limits[key] && h("span", { class: "uc-between" }, ` [${between(limits[key])}]`));
  const kl = h("td", null, nats(shown.mean_kl), limits.mean_kl && h("span", { class: "uc-between" }, ` [${limits.mean_kl.map((value) => value.toFixed(2)).join(" to ")}]`));
  const tokens = state.ends ? figures.with_end.tokens : fresh.tokens;
  return h("tr", null, h("th", { scope: "row" }, name), h("td", null, SEES[context]), h("td", null, shareBar(shown)), SHARES.map(cell), kl, h("td", null, figures.answers.toLocaleString("en")), h("td", null, tokens.toLocaleString("en")), h("td", null, state.ends || figures.repeats === undefined ? "none" : figures.repeats.toLocaleString("en")));
}

/* Without repeats; an older summary knows of none. */
function headline(figures) {
  return figures.without_repeats || figures;
}

function sharesTable(summary) {
  const head = ["method", "context", ...SHARES.flatMap((name) => [name, `${name}_low`, `${name}_high`]), "mean_kl_nats", "answers", "tokens", "repeats_left_out", "shifted_with_repeats"];
  const rows = contextsOf(summary).map(({ method, context, figures }) => ({ method, context, figures, fresh: headline(figures) })).map(({ method, context, figures, fresh }) => [method, context, ...SHARES.flatMap((name) => [fresh.pooled[name], ...(fresh.interval[name] || [null, null])]), fresh.pooled.mean_kl, fresh.answers, fresh.tokens, figures.repeats || 0, figures.pooled.shifted]);
  return { head, rows };
}

function shareBar(shares) {
  const parts = SHARES.map((name) => h("span", { class: `uc-part uc-part-${name}`, css: { width: `${100 * (shares[name] || 0)}%` } }));
  return h("span", { class: "uc-bar", "aria-hidden": "true" }, parts);
}

/* Along the answer. */
function curvesPanel(summary, state, choose) {
  const contexts = Object.entries(summary.methods[state.method].contexts);
  const of = (figures) => (state.axis === "relative" ? figures.curves.relative : state.axis === "long" ? figures.curves.long_only : figures.curves);
  const measure = MEASURES[state.measure];
  const series = contexts.map(([context, figures]) => {
    const line = of(figures)[state.measure];
    return { name: `base sees ${SEES[context]}`, kind: context, line: line[state.middle] || line.mean, low: state.middle === "median" && line.median ? line.mean.map(() => null) : line.low, high: state.middle === "median" && line.median ? line.mean.map(() => null) : line.high };
  });
  const n = of(contexts[0][1]).n;
  const at = (index) => (state.axis === "relative" ? `${Math.round((100 * index) / (n.length - 1 || 1))} % of the answer` : index === 0 ? "position 0" : String(index));
  const head = [state.axis === "relative" ? "bin" : "position", "n", ...contexts.flatMap(([context]) => [context, `${context}_low`, `${context}_high`])];
  const rows = n.map((count, t) => [t, count, ...series.flatMap((one) => [one.line[t], one.low[t], one.high[t]].map((value) => (value === null ? null : Number(value.toFixed(5)))))]);
  const spoken = { absolute: "Late positions are those of long answers alone: look at n, or at the long answers only.", long: `Only the ${of(contexts[0][1]).answers} answers that reach the end of this axis.`, relative: "Each answer cut into twenty parts; n counts tokens." }[state.axis];
  const legend = h("ul", { class: "uc-legend" }, series.map((one) => h("li", null, h("span", { class: `uc-key uc-key-${one.kind}`, "aria-hidden": "true" }), one.name)));
  const pick = (legendText, name, options) => choices(legendText, options, state[name], (value) => choose({ [name]: value })).el;
  const controls = h(
    "div",
    { class: "uc-controls" },
    pick("Measure", "measure", Object.entries(MEASURES).map(([value, { label }]) => ({ value, label }))),
    pick("Over", "axis", [{ value: "absolute", label: "position" }, { value: "long", label: "long answers only" }, { value: "relative", label: "part of the answer" }]),
    pick("Line", "middle", [{ value: "mean", label: "mean" }, { value: "median", label: "median" }]),
  );
  const draw = (width) => linePlot(width, { series, n, xTitle: { at }, yTitle: measure.title, percent: measure.percent });
  const el = n.length ? figure("Along the answer", spoken, draw, { head, rows }) : h("section", { class: "uv-panel" }, "Too few answers for a curve.");
  if (n.length) el.querySelector(".uc-stage").before(controls, legend);
  return el;
}

/* The most shifted tokens, as bars. */
function wordsPanel(summary, state, open) {
  const rows = summary.methods[state.method].contexts[state.context].most_shifted;
  const most = Math.max(...rows.map((row) => row.shifted), 1);
  const item = (row) =>
    h(
      "li",
      null,
      h("button", { type: "button", class: "uc-word", "aria-label": `${visible(row.text)}: ${row.shifted} of ${row.occurrences} shifted; open the first`, on: { click: () => open(row.example.question, row.example.position) } }, h("bdi", null, blanks(row.text))),
      h("span", { class: "uc-track", "aria-hidden": "true" }, h("span", { class: "uc-fill", css: { width: `${(100 * row.shifted) / most}%` } })),
      h("span", { class: "uc-count" }, `${row.shifted} of ${row.occurrences} (${Math.round(100 * row.share)} %)${row.opening ? `, ${row.opening} in the first five` : ""}`),
    );
  const list = h("ol", { class: "uc-words" }, rows.slice(0, 20).map(item));
  const table = { head: ["token", "id", "shifted", "occurrences", "share", "in the first five", "mean rank, capped at 50", "first in"], rows: rows.map((row) => [row.text, row.id, row.shifted, row.occurrences, Number(row.share.toFixed(4)), row.opening, Number(row.mean_rank_capped_at_50.toFixed(2)), row.example.question]) };
  const behind = folded("Table", `${rows.length} tokens`, (body) => replace(body, dataTable("Most shifted tokens", table)));
  const keep = h("div", { class: "uc-keep" }, keepButton("Most shifted tokens as CSV", "CSV", () => saveFile("urial-corpus-tokens.csv", csvBlob(table))));
  const note = rows.length ? "Tokens with at least five occurrences, by how often they are shifted. Each opens the first answer that has it." : "No token with at least five occurrences is shifted.";
  return h("section", { class: "uv-panel uc-figure" }, h("h3", { class: "uv-title" }, "Most shifted tokens"), h("p", { class: "uc-note" }, note), list, keep, behind.el);
}

function blanks(text) {
  return visible(text).replaceAll("\n", "⏎").replace(/^ /, "␣") || "(nothing)";
}

/* By tag: a row a value with its share and interval; a click filters the table of questions. */
function tagsPanel(summary, state, filter) {
  const kinds = Object.entries(summary.methods[state.method].contexts[state.context].by_tag);
  if (!kinds.length) return null;
  const rowOf = (kind) => ([value, cell]) =>
    h(
      "tr",
      { class: cell.few ? "uc-few" : "" },
      h("th", { scope: "row" }, h("button", { type: "button", class: "uc-link", "aria-pressed": String(state.tag === `${kind}:${value}`), on: { click: () => filter(`${kind}:${value}`) } }, h("bdi", null, visible(value)))),
      h("td", null, shareBar(cell.pooled)),
      h("td", null, hundred(cell.pooled.shifted), cell.interval.shifted && h("span", { class: "uc-between" }, ` [${between(cell.interval.shifted)}]`)),
      h("td", null, String(cell.answers)),
    );
  const tables = kinds.map(([kind, values]) => h("table", { class: "uv-table" }, h("caption", null, visible(kind)), h("thead", null, h("tr", null, [kind, "shares", "shifted", "answers"].map((name) => h("th", { scope: "col" }, visible(name))))), h("tbody", null, Object.entries(values).map(rowOf(kind)))));
  const all = { head: ["kind", "value", ...SHARES, "shifted_low", "shifted_high", "answers", "tokens"], rows: kinds.flatMap(([kind, values]) => Object.entries(values).map(([value, cell]) => [kind, value, ...SHARES.map((name) => cell.pooled[name]), ...(cell.interval.shifted || [null, null]), cell.answers, cell.tokens])) };
  const keep = h("div", { class: "uc-keep" }, keepButton("Tags as CSV", "CSV", () => saveFile("urial-corpus-tags.csv", csvBlob(all))));
  return h("section", { class: "uv-panel uc-figure" }, h("h3", { class: "uv-title" }, "By what is asked"), h("p", { class: "uc-note" }, "Choose one to see its questions alone. Grey: fewer than ten answers. A question may have several tags."), h("div", { class: "uc-tags uc-scroll", tabindex: "0", role: "region", "aria-label": "Figures by tag" }, tables), keep);
}

/* Differences, openers, and the original's count: tables without a plot, folded. */
function morePanels(summary, state) {
  const method = summary.methods[state.method];
  const found = method.contexts[state.context];
  const differences = [];
  for (const [name, one] of Object.entries(summary.methods)) if (one.difference_of_contexts) differences.push([`${methodTitle(name)}: question less prompt in sight`, one.difference_of_contexts]);
  for (const one of summary.differences) differences.push([`${methodTitle(one.first)} less ${methodTitle(one.second)}, each with its prompt`, one]);
  const sign = (value) => (value === null ? "–" : `${value > 0 ? "+" : ""}${(100 * value).toFixed(1)}`);
  const points = { head: ["difference", "shifted, points", "95 % interval", "p", "KL, nats", "questions"], rows: differences.map(([name, one]) => [name, sign(one.pooled.shifted), between(one.interval.shifted), one.p.shifted === null ? "" : one.p.shifted.toFixed(4), one.pooled.mean_kl === null ? "" : one.pooled.mean_kl.toFixed(3), one.questions]) };
  const part = (name, one) => [name, ...SHARES.map((key) => hundred(one.pooled[key])), nats(one.pooled.mean_kl), one.tokens];
  const openers = { head: ["positions", ...SHARES, "KL, nats", "tokens"], rows: [part("the first five", found.openers.first), part("the rest", found.openers.rest)] };
  const originals = { head: ["method", "context", ...SHARES, "KL@10", "Jaccard@10", "tokens"], rows: contextsOf(summary).map(({ method: name, context, figures }) => [methodTitle(name), SEES[context], ...SHARES.map((key) => hundred(figures.as_original[key])), nats(figures.as_original.mean_kl_at_10), nats(figures.as_original.mean_jaccard_at_10), figures.as_original.tokens]) };
  const fold = (title, hint, table) => folded(title, hint, (body) => replace(body, dataTable(title, table), h("div", { class: "uc-keep" }, keepButton(`${title} as CSV`, "CSV", () => saveFile(`${stem(title)}.csv`, csvBlob(table)))))).el;
  return h(
    "div",
    { class: "uc-more" },
    fold("Differences", "paired by question; p by flipping signs", points),
    fold("How answers begin", "the first five positions against the rest", openers),
    fold("As the original code counts", "first choices, lists of ten, end tokens in", originals),
  );
}
