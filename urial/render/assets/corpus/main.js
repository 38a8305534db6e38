/* A corpus on a page: window.UrialCorpus.mount(place, {summary, rows, load, theme, note, judged}). Its state is in the link's
   fragment, so that what is seen can be sent. */

const KEPT = { method: "", context: "", measure: "kl", axis: "absolute", middle: "mean", per: "token", tag: "", find: "", sort: "order", open: "", judge: "", win: "" };

function mountCorpus(place, { summary, rows, load, theme, note, judged }) {
  const methods = Object.keys(summary.methods).filter((name) => Object.keys(summary.methods[name].contexts).length);
  const state = { ...KEPT, bin: null, down: false, ends: false, theme: theme || "auto", ...readLink() };
  if (!methods.includes(state.method)) state.method = methods[0];
  const checkContext = () => {
    const held = Object.keys(summary.methods[state.method].contexts);
    if (!held.includes(state.context)) state.context = held[0];
  };
  checkContext();
  state.judged = judged || { groups: [], safety: [] };
  if (!MEASURES[state.measure]) state.measure = "kl";
  if (!["absolute", "long", "relative"].includes(state.axis)) state.axis = "absolute";
  rows.forEach((row, index) => (row.place = index));
  const el = h("div", { class: "urial-view uc", "data-theme": state.theme });
  const front = h("div");
  const detail = createDetail(load, state, choose);
  el.append(corpusHead(summary, note), front, detail.el);
  place.append(el);

  function choose(change, quiet) {
    const held = nameOf(document.activeElement);
    const before = state.open;
    Object.assign(state, change);
    checkContext();
    writeLink(state);
    if (quiet) return;
    render(change.position);
    if (before && !state.open) focusQuestion(before);
    else if (held) refocus(el, held);
  }

  function open(id, position) {
    choose({ open: id, position });
  }

  function render(position) {
    const row = state.open && rows.find((one) => one.id === state.open);
    if (row) {
      front.hidden = true;
      if (detail.id() !== row.id) detail.show(row, position);
      return;
    }
    state.open = "";
    detail.hide();
    front.hidden = false;
    chooseGroup(state);
    replace(
      front,
      switches(summary, methods, state, choose),
      sharesPanel(summary, state, choose),
      h("div", { class: "uc-two" }, histogramPanel(rows, state, choose), wordsPanel(summary, state, open)),
      curvesPanel(summary, state, choose),
      tagsPanel(summary, state, (tag) => choose({ tag: state.tag === tag ? "" : tag })),
      morePanels(summary, state),
      judgePanel(state, choose),
      questionsPanel(rows, state, choose, open).el,
    );
  }

  function focusQuestion(id) {
    const found = [...front.querySelectorAll("[data-question]")].find((button) => button.dataset.question === id);
    if (found) found.focus();
  }
  render();
  return { el, choose, destroy: () => el.remove() };
}

/* A redrawn control takes the focus that its former self had. */
function refocus(el, name) {
  const found = [...el.querySelectorAll("[aria-label], input[type=radio]")].find((one) => nameOf(one) === name);
  if (found) found.focus({ preventScroll: true });
}

/* What a control is called, however often it is drawn: its label, or a choice's legend and value. */
function nameOf(element) {
  if (!element) return null;
  if (element.type !== "radio") return element.getAttribute("aria-label");
  return `${element.closest("fieldset").querySelector("legend").textContent}: ${element.value}`;
}

function corpusHead(summary, note) {
  const { pair, questions, failed, settings } = summary;
  const facts = [`${questions.toLocaleString("en")} questions`, failed ? `${failed} failed` : "none failed"];
  if (pair) facts.push(`${pair.base} beside ${pair.aligned}`);
  if (settings) facts.push(settings.temperature === 0 ? "greedy" : `temperature ${settings.temperature}`, `at most ${settings.max_new_tokens} tokens`);
  return h("header", { class: "uc-head" }, h("h2", { class: "uv-heading" }, "Over many questions"), h("p", { class: "uc-note" }, h("bdi", null, visible(facts.join(" · ")))), note && h("p", { class: "uc-note" }, note));
}

function switches(summary, methods, state, choose) {
  const held = Object.keys(summary.methods[state.method].contexts);
  const pick = (legend, name, options) => choices(legend, options, state[name], (value) => choose({ [name]: value })).el;
  const ends = checkbox("count repeats and end tokens, as the paper does", (value) => choose({ ends: value }));
  ends.input.checked = state.ends;
  return h(
    "div",
    { class: "uc-controls" },
    methods.length > 1 ? pick("Method", "method", methods.map((value) => ({ value, label: methodTitle(value) }))) : null,
    held.length > 1 ? pick("The base sees", "context", held.map((value) => ({ value, label: SEES[value] }))) : null,
    pick("Average over", "per", [{ value: "token", label: "tokens" }, { value: "answer", label: "answers" }]),
    ends.el,
  );
}

/* The fragment: #corpus&method=urial&open=... ; what is as usual is left out. */
function readLink() {
  if (!window.location.hash.startsWith("#corpus")) return {};
  const values = new URLSearchParams(window.location.hash.slice(1));
  const found = {};
  for (const name of Object.keys(KEPT)) if (values.has(name)) found[name] = values.get(name);
  if (/^\d+$/.test(values.get("bin") || "")) found.bin = Number(values.get("bin"));
  for (const name of ["down", "ends"]) if (values.has(name)) found[name] = values.get(name) === "1";
  return found;
}

function writeLink(state) {
  const values = new URLSearchParams();
  for (const [name, usual] of Object.entries(KEPT)) if (state[name] !== usual) values.set(name, state[name]);
  if (state.bin !== null) values.set("bin", String(state.bin));
  for (const name of ["down", "ends"]) if (state[name]) values.set(name, "1");
  const text = values.toString();
  window.history.replaceState(null, "", `#corpus${text ? `&${text}` : ""}`);
}

window.UrialCorpus = { mount: mountCorpus };
