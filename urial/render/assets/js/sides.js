/* The two columns: what each model is, its answer, its facts. The aligned column holds one pane for each context shown. */

function createSides(store, host, panes, term, bar) {
  const base = createColumn(host, "base", "Base", term);
  const aligned = createColumn(host, "aligned", "Aligned", term);
  const plain = createPlainAnswer();
  base.middle.append(plain.el);
  const waiting = h("p", { class: "uv-waiting-text uv-soft" });
  const paneBoxes = CONTEXTS.map((name) => {
    const title = h("div", { class: "uv-pane-title" });
    return { name, title, el: h("div", { class: "uv-pane" }, title, panes[name].el) };
  });
  aligned.middle.append(waiting, h("div", { class: "uv-panes" }, paneBoxes.map((box) => box.el)));
  const note = h("p", { class: "uv-note" });
  const found = h("div", { class: "uv-note" });
  const el = h("div", { class: "uv-sides" }, bar, h("div", { class: "uv-columns" }, base.el, aligned.el), found, note);

  function update(topics) {
    showTitles(store, base, aligned);
    setText(note, (store.meta && store.meta.note && `About this pair: ${visible(store.meta.note)}`) || "");
    if (topics.has("meta") || topics.has("facts")) showPrompting(store, found);
    plain.show(store.sides.base ? store.sides.base.text : "");
    for (const column of [base, aligned]) showFacts(store, column);
    setText(waiting, store.pieces.length || !(store.running || !store.meta) ? "" : "The answer appears here, coloured as it is scored.");
    el.classList.toggle("uv-at-base", store.ui.side === "base");
    showPanes(store, panes, paneBoxes, el, topics);
  }
  return { el, update, columns: { base, aligned } };
}

/* What the models were given that the question alone does not tell: examples found for it, a fixed form, a rewrite. */
function showPrompting(store, place) {
  const { meta } = store;
  const settings = meta && meta.settings;
  if (!settings) return replace(place);
  const icil = settings.method === "icil" && h("p", null, ICIL_CONTEXT);
  return replace(place, retrievedNote(settings.retrieved), icil, meta.rewrite && rewriteNote(meta.rewrite));
}

const ICIL_CONTEXT = "ICIL shows the base eight demonstrations of different tasks, each as Definition, Input and Output, the same for every question. “Only the question” is that form with the question alone.";

/* System 2 Attention: what the aligned model was asked in place of the question. */
function rewriteNote({ fallback, asked }) {
  if (fallback) return h("p", null, `System 2 Attention: ${visible(fallback)}`);
  return h("p", null, "System 2 Attention: the aligned model was asked its own rewrite, ", h("q", { class: "uv-asked", dir: "auto" }, visible(asked)), " Its shift is counted after that question; the base sees the one above.");
}

/* What retrieval put into the prompt, the nearest first, each with the words that matched. */
function retrievedNote(retrieved) {
  if (!retrieved) return null;
  if (!retrieved.length) return h("p", null, "No example of the pool shares a word with this question: the base saw the question alone.");
  const items = [...retrieved].reverse().map(({ query, matched }) => {
    const words = matched.map((word) => [" ", h("mark", { class: "uv-matched" }, visible(word))]);
    return h("li", null, h("bdi", null, `“${visible(query)}”`), ", by", words);
  });
  const lead = "Examples found for this question by shared words, the nearest first. A prompt that changes with the question has no beginning to keep, so no prefix cache is used: it is read anew each time.";
  return [h("p", null, lead), h("ul", null, items)];
}

function createColumn(host, name, title, term) {
  const subtitle = h("span", { class: "uv-soft" });
  const tools = h("div", { class: "uv-tools" });
  const buttons = {};
  for (const [action, label] of [["stop", "Stop"], ["again", "Again"]]) {
    if (!host.actions.includes(action)) continue;
    const spokenLabel = `${label}: ${title.toLowerCase()} answer`;
    buttons[action] = h("button", { type: "button", class: "uv-button uv-small-button", "aria-label": spokenLabel }, label);
    buttons[action].addEventListener("click", () => host.emit(action, { side: name }));
    tools.append(buttons[action]);
  }
  const heading = h("h3", { class: "uv-title" }, term(name, title));
  const middle = h("div", { class: "uv-middle" });
  const problem = h("p", { class: "uv-problem", role: "alert" });
  const facts = h("div", { class: "uv-facts-line" }); // above the answer: there a growing text does not move it
  const el = h("section", { class: "uv-card uv-column", "aria-label": `${title} answer` });
  el.append(h("header", { class: "uv-column-head" }, heading, subtitle, tools), facts, middle, problem);
  return { el, name, subtitle, tools, buttons, middle, problem, facts };
}

function showTitles(store, base, aligned) {
  const settings = store.meta && store.meta.settings;
  setText(base.subtitle, settings ? `never tuned · prompted with ${methodName(settings)}` : "never tuned");
  setText(aligned.subtitle, "its chat-tuned sibling");
  const pair = store.meta && store.meta.pair;
  base.subtitle.title = pair ? pair.base : "";
  aligned.subtitle.title = pair ? pair.aligned : "";
}

function showFacts(store, column) {
  const side = store.sides[column.name] || { tokens: 0 };
  const facts = [lengthText(store, column.name)];
  if (side.tokens_per_second) facts.push(`${side.tokens_per_second.toFixed(1)}${NBSP}tokens/s`);
  if (side.first_token_seconds !== undefined && side.first_token_seconds !== null) {
    facts.push(`first token after ${seconds(side.first_token_seconds)}`);
  }
  if (side.stop_reason) facts.push(`stopped ${STOP_NAMES[side.stop_reason]}`);
  else if (store.running && !side.error) facts.push(side.stopping ? "stopping…" : "writing…");
  if (side.settings) facts.push(drawText(store, side.settings));
  replace(column.facts, store.meta ? facts.map((fact) => h("span", null, fact)) : [], store.meta && labelChip(store.labels, column.name));
  setText(column.problem, side.error ? visible(side.error) : "");
  const busy = store.running && !side.stop_reason && !side.error;
  if (column.buttons.stop) column.buttons.stop.disabled = !busy || Boolean(side.stopping);
  if (column.buttons.again) column.buttons.again.disabled = store.running || !store.meta;
}

/* What sets this side's draw apart from the settings of the question. */
function drawText(store, own) {
  const { settings } = store.meta;
  const facts = [`another draw, temperature ${own.temperature}, seed ${own.seed}`];
  if (own.top_p !== settings.top_p) facts.push(`top-p ${own.top_p}`);
  if (own.max_new_tokens !== settings.max_new_tokens) facts.push(`at most ${plural(own.max_new_tokens, "token")}`);
  return facts.join(", ");
}

/* Panes of the contexts in sight; a first one stands in until rows come. */
function showPanes(store, panes, boxes, el, topics) {
  const shown = shownContexts(store);
  const names = contextNames(store.meta && store.meta.settings);
  const wanted = shown.length ? shown : ["zero_shot"];
  el.classList.toggle("uv-both", wanted.length === 2);
  for (const box of boxes) {
    box.el.hidden = !wanted.includes(box.name);
    replace(box.title, wanted.length === 2 ? paneTitle(store, box.name, names) : []);
    if (topics.has("meta")) clearPane(panes[box.name]);
  }
}

function paneTitle(store, name, names) {
  const count = headline(store, store.contexts[name]);
  const shifted = count.n ? share(count.s / count.n) : "–";
  return [h("span", null, `The base sees ${names[name]}`), h("b", null, `${shifted} shifted`)];
}
