/* The table of questions: sorted, filtered, each opened in the token view. */

const PAGE = 50; // rows at a time

function questionsPanel(rows, state, choose, open) {
  const box = h("input", { type: "search", class: "uc-search", placeholder: "Find in questions", "aria-label": "Find in questions", value: state.find });
  const status = h("p", { class: "uc-note", role: "status" });
  const chips = h("div", { class: "uc-chips" });
  const place = h("div", { class: "uc-scroll", tabindex: "0", role: "region", "aria-label": "Questions, table" });
  const more = h("button", { type: "button", class: "uv-button", hidden: true }, "Show more");
  let limit = PAGE;

  function refresh() {
    const kept = sorted(rows.filter((row) => suits(row, state)), state);
    setText(status, `${kept.length} of ${rows.length} questions`);
    replace(chips, chipList(state, choose));
    replace(place, questionTable(kept.slice(0, limit), state, choose, open));
    more.hidden = kept.length <= limit;
  }
  more.addEventListener("click", () => ((limit += 4 * PAGE), refresh()));
  box.addEventListener("input", () => ((state.find = box.value), refresh(), choose({}, true)));
  refresh();
  return { el: h("section", { class: "uv-panel uc-figure" }, h("h3", { class: "uv-title", id: "uc-questions" }, "The questions"), box, chips, status, place, more), refresh };
}

function factsOf(row, state) {
  const facts = row.methods[state.method];
  return (facts && facts.contexts && facts.contexts[state.context]) || null;
}

function suits(row, state) {
  if (state.find && !row.query.toLowerCase().includes(state.find.toLowerCase())) return false;
  if (state.tag) {
    const cut = state.tag.indexOf(":");
    if (!(row.tags[state.tag.slice(0, cut)] || []).includes(state.tag.slice(cut + 1))) return false;
  }
  if (state.win && (!state.winners || state.winners[row.id] !== state.win)) return false;
  if (state.bin === null) return true;
  const facts = factsOf(row, state);
  return facts !== null && facts.shifted !== null && binOf(facts.shifted) === state.bin;
}

const SORTS = {
  order: { label: "Question", of: (row) => row.place },
  shifted: { label: "Shifted", of: (row, state) => valueOf(row, state, "shifted") },
  mean_kl: { label: "KL", of: (row, state) => valueOf(row, state, "mean_kl") },
  tokens: { label: "Tokens", of: (row, state) => valueOf(row, state, "tokens") },
};

function valueOf(row, state, name) {
  const facts = factsOf(row, state);
  return facts && facts[name] !== null ? facts[name] : -1;
}

function sorted(rows, state) {
  const of = (SORTS[state.sort] || SORTS.order).of;
  return [...rows].sort((a, b) => (state.down ? -1 : 1) * (of(a, state) - of(b, state)) || a.place - b.place);
}

function chipList(state, choose) {
  const chip = (text, change) => h("button", { type: "button", class: "uv-button uv-small-button", "aria-label": `Remove the filter ${text}`, on: { click: () => choose(change) } }, h("bdi", null, visible(text)), " ×");
  const found = [];
  if (state.tag) found.push(chip(state.tag.replace(":", ": "), { tag: "" }));
  if (state.win) found.push(chip(`the judge says ${BETTER[state.win]}`, { win: "" }));
  if (state.bin !== null) found.push(chip(`shifted ${binName(state.bin)}`, { bin: null }));
  return found;
}

function questionTable(rows, state, choose, open) {
  const head = Object.entries(SORTS).map(([name, { label }]) => {
    const current = state.sort === name;
    const turn = () => choose({ sort: name, down: current ? !state.down : name !== "order" });
    return h("th", { scope: "col", "aria-sort": current ? (state.down ? "descending" : "ascending") : "none" }, h("button", { type: "button", class: "uc-link", on: { click: turn } }, label, current ? (state.down ? " ↓" : " ↑") : ""));
  });
  if (state.winners) head.push(h("th", { scope: "col" }, "Better"));
  const body = rows.map((row) => {
    const facts = factsOf(row, state);
    const failed = row.methods[state.method] && row.methods[state.method].error;
    const tags = Object.values(row.tags).flat().slice(0, 4).join(" · ");
    const name = h("button", { type: "button", class: "uc-link uc-question", "data-question": row.id, on: { click: () => open(row.id) } }, h("bdi", null, visible(row.query.length > 160 ? `${row.query.slice(0, 160)}…` : row.query)));
    const under = h("span", { class: "uc-under" }, visible(`${tags}${row.turns > 1 ? `${tags ? " · " : ""}${row.turns} turns` : ""}`));
    if (!facts) return h("tr", null, h("th", { scope: "row" }, name, under), h("td", { colspan: state.winners ? "4" : "3" }, failed ? `Failed: ${visible(failed)}` : "Not asked by this method."));
    return h("tr", null, h("th", { scope: "row" }, name, under), h("td", null, hundred(facts.shifted)), h("td", null, nats(facts.mean_kl)), h("td", null, String(facts.tokens)), state.winners && h("td", null, BETTER[state.winners[row.id]] || "–"));
  });
  return h("table", { class: "uv-table uc-list" }, h("caption", { class: "uv-offscreen" }, "Questions"), h("thead", null, h("tr", null, head)), h("tbody", null, body));
}

/* How the answers' own shares are spread; a bar filters. */
const BIN = 0.05;
const binOf = (share) => Math.min(Math.floor(share / BIN + 1e-9), 19);
const binName = (bin) => `${Math.round(100 * BIN * bin)} to ${Math.round(100 * BIN * (bin + 1))} %`;

function histogramPanel(rows, state, choose) {
  const shares = rows.map((row) => factsOf(row, state)).filter((facts) => facts && facts.shifted !== null).map((facts) => facts.shifted);
  const counts = Array.from({ length: Math.max(...shares.map(binOf), 3) + 1 }, (_, bin) => shares.filter((share) => binOf(share) === bin).length);
  const most = Math.max(...counts, 1);
  const bars = counts.map((count, bin) =>
    h("button", { type: "button", class: "uc-column", disabled: count === 0, "aria-pressed": String(state.bin === bin), "aria-label": `${count} answers with ${binName(bin)} shifted; show them`, on: { click: () => choose({ bin: state.bin === bin ? null : bin }) } }, h("span", { class: "uc-column-n" }, count || ""), h("span", { class: "uc-column-fill", css: { height: `${(110 * count) / most}px` } }), h("span", { class: "uc-column-x" }, bin % 2 ? "" : `${Math.round(100 * BIN * bin)} %`)),
  );
  const table = { head: ["shifted", "answers"], rows: counts.map((count, bin) => [binName(bin), count]) };
  const behind = folded("Table", `${counts.length} rows`, (body) => replace(body, dataTable("Shares of answers", table)));
  const keep = h("div", { class: "uc-keep" }, keepButton("Spread as CSV", "CSV", () => saveFile("urial-corpus-spread.csv", csvBlob(table))));
  return h("section", { class: "uv-panel uc-figure" }, h("h3", { class: "uv-title" }, "How answers differ"), h("p", { class: "uc-note" }, "Answers by their own share of shifted tokens. Choose a bar to see its questions alone."), h("div", { class: "uc-columns" }, bars), keep, behind.el);
}

/* One question: its answers, a view a method. */
function createDetail(load, state, choose) {
  const el = h("section", { class: "uc-detail", hidden: true });
  let shown = null;
  let view = null;

  async function show(row, position) {
    shown = row.id;
    el.hidden = false;
    const body = h("div", null, h("p", { class: "uc-note" }, "Opening…"));
    const back = h("button", { type: "button", class: "uv-button", on: { click: () => choose({ open: "" }) } }, "← All questions");
    const title = h("h3", { class: "uc-open-title", tabindex: "-1", dir: "auto" }, visible(row.query));
    replace(el, back, title, body);
    title.focus({ preventScroll: true });
    el.scrollIntoView({ block: "start" });
    let found;
    try {
      found = await load(row.id);
    } catch (error) {
      found = { error: "This answer could not be opened; load the page again." };
    }
    if (shown !== row.id) return;
    if (found.error) return replace(body, h("p", { class: "uv-problem", role: "alert" }, visible(found.error)));
    const { methods, said } = found;
    whole(methods);
    const names = Object.keys(methods);
    const place = h("div");
    const verdicts = h("div");
    const mount = (name) => {
      if (view) view.destroy();
      view = window.UrialView.mount(place, { theme: state.theme, actions: [], continuation: false, visit: false, comparison: methods[name] });
      replace(verdicts, verdictPanels(said, state.judged, name));
    };
    const first = names.includes(state.method) ? state.method : names[0];
    replace(body, names.length > 1 ? choices("Method", names.map((value) => ({ value, label: methodTitle(value) })), first, mount).el : null, place, verdicts);
    mount(first);
    if (position !== undefined) {
      const token = place.querySelector(`[data-position="${Number(position)}"]`);
      if (token) token.click();
    }
  }

  function hide() {
    shown = null;
    if (view) view.destroy();
    view = null;
    el.hidden = true;
    replace(el);
  }
  return { el, show, hide, id: () => shown };
}

/* Contexts that were kept once come back to every method that has them. */
function whole(found) {
  for (const payload of Object.values(found)) {
    for (const [name, context] of Object.entries(payload.shift)) {
      if (context.same_as) payload.shift[name] = found[context.same_as].shift[name];
    }
  }
}
