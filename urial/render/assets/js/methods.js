/* What a host may call on a mounted view: whole comparisons, streamed ones, and branches. See render.payload for the data. */

function createMethods(page, store, parts, status, emit) {
  const host = { emit };
  const say = (text) => setText(status, text);
  const branch = createBranch(store, parts.sides.columns.base, host);
  const summary = () => {
    const context = primaryContext(store);
    if (!context) return "The answers are here; no shift was scored.";
    const tallied = headline(store, context);
    return `Aligned answer: ${plural(tallied.n, "token")}, ${shareOf(tallied, "s")} shifted.`;
  };
  const finish = () => {
    store.running = false;
    store.selected = tellingPosition(store);
    const context = primaryContext(store);
    if (parts.visit && context) parts.visit.add(answerName(store), context.rows);
    ["data", "sides", "select"].forEach((topic) => store.changed(topic));
    say(summary());
  };
  return {
    load: (payload) => (loadPayload(store, payload), branch.close(), finish()),
    reset: (started) => (startLive(store, started), branch.close(), say("Both models are writing.")),
    restart: ({ name, settings }) => (restartSide(store, name, settings), branch.close(), say(`The ${name} answer is written once more.`)),
    clear: () => (resetStore(store, null), branch.close(), say("")),
    append: (delta) => appendDelta(store, delta),
    sideDone: ({ name, side }) => (setSide(store, name, side), store.changed("sides")),
    done: (payload) => (completeLive(store, payload), finish()),
    labels: (found) => ((store.labels = found), ["facts", "sides"].forEach((topic) => store.changed(topic))),
    fail: ({ name, message }) => (failSide(store, name, message), say(message)),
    stopping: (names) => (names.forEach((name) => setSide(store, name, { stopping: true })), store.changed("sides")),
    stopped: () => ((store.running = false), store.changed("sides")),
    status: say,
    choose: (ui) => (Object.assign(store.ui, ui), store.changed("ui")),
    branchStart: (place) => (parts.card.el.classList.remove("uv-sheet"), branch.start(place)),
    branchAppend: branch.append,
    branchDone: branch.done,
    toPNG: () => drawPicture(store, page),
    toSVG: () => drawSvg(store, page),
    visitTally: () => (parts.visit ? parts.visit.tally() : []),
    destroy: () => page.remove(),
  };
}

function setSide(store, name, side) {
  store.sides[name] = { ...store.sides[name], ...side };
}

function metaOf({ query, history, pair, settings, note, command, repeats, rewrite }) {
  return { query, history, pair, settings, note, command, repeats: repeats || [], rewrite };
}

function loadPayload(store, payload) {
  resetStore(store, metaOf(payload));
  for (const [name, context] of Object.entries(payload.shift)) {
    addRows(store, name, context.rows);
    setContext(store, name, context);
  }
  if (!store.pieces.length && payload.aligned.text) addPieces(store, [[null, payload.aligned.text]]);
  for (const name of ["base", "aligned"]) setSide(store, name, payload[name]);
  for (const problem of payload.problems || []) failSide(store, problem.name, problem.message);
}

/* `started`: {query, history, pair, settings, note, prompts: {base, aligned}, prompt_tokens: {base, aligned}}. */
function startLive(store, started) {
  resetStore(store, metaOf(started));
  store.running = true;
  for (const name of ["base", "aligned"]) {
    setSide(store, name, { prompt: (started.prompts || {})[name], prompt_tokens: (started.prompt_tokens || {})[name] });
  }
  store.changed("sides");
}

/* One side begins again, with `settings` of its own where they differ; the other, and with the base the shift, stay. */
function restartSide(store, name, settings) {
  const { prompt, prompt_tokens } = store.sides[name];
  store.sides[name] = { text: "", tokens: 0, prompt, prompt_tokens, settings };
  store.labels = null;
  if (name === "aligned") Object.assign(store, { pieces: [], contexts: {}, selected: null, hovered: null });
  store.running = true;
  ["meta", "sides"].forEach((topic) => store.changed(topic));
}

/* `delta`: {base: "suffix" or {text, tokens}, aligned: [[id, text], ...], shift: {zero_shot: rows, urial: rows}}; each may be absent. */
function appendDelta(store, delta) {
  if (delta.base) {
    const { text, tokens } = typeof delta.base === "string" ? { text: delta.base, tokens: 1 } : delta.base;
    addBase(store, text, tokens);
  }
  if (delta.aligned) addPieces(store, delta.aligned);
  for (const [name, rows] of Object.entries(delta.shift || {})) addRows(store, name, rows);
  store.changed("data");
}

/* The finished record: facts that only it holds. Its rows replace the streamed ones where their number differs;
   a host that has sent them all may give their number in place of them. */
function completeLive(store, payload) {
  const streamed = (name) => (store.contexts[name] || { rows: [] }).rows.length;
  const missing = Object.entries(payload.shift).filter(([name, { rows }]) => streamed(name) !== (rows.token ? rows.token.length : rows));
  if (missing.some(([, { rows }]) => rows.table)) return loadPayload(store, payload);
  store.meta = metaOf(payload);
  for (const [name, context] of Object.entries(payload.shift)) setContext(store, name, context);
  for (const name of ["base", "aligned"]) setSide(store, name, payload[name]);
  return store.changed("facts");
}

function failSide(store, name, message) {
  const sides = name ? [name] : ["aligned"];
  for (const side of sides) setSide(store, side, { error: message });
  store.changed("sides");
}
