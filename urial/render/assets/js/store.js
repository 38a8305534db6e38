/* What the view knows of one comparison, and what its reader has chosen. No elements here.

   Rows are decoded from columns (see render.rows_payload); top lists stay packed until a card asks for them. */

const CONTEXTS = ["zero_shot", "urial"];
const FIRST_UI = {
  sees: "zero_shot",
  mode: "class",
  thresholds: [3, 10, 100],
  onlyShifted: false,
  spaces: false,
  words: false,
  countEnd: false,
  alone: false, // a picture of the aligned answer only
  side: "aligned", // the answer that is shown where there is room for one
};

function createStore() {
  const listeners = [];
  const store = { meta: null, sides: {}, pieces: [], contexts: {}, running: false, selected: null, hovered: null, ui: { ...FIRST_UI } };
  store.ui.thresholds = [...FIRST_UI.thresholds];
  store.changed = (topic) => listeners.forEach((fn) => fn(topic));
  store.listen = (fn) => listeners.push(fn);
  return store;
}

function resetStore(store, meta) {
  store.meta = meta;
  store.sides = { base: { text: "", tokens: 0 }, aligned: { text: "", tokens: 0 } };
  store.pieces = [];
  store.contexts = {};
  store.labels = null;
  store.selected = null;
  store.hovered = null;
  store.changed("meta");
}

/* How one side was decoded: what is its own, else what both share. */
function decodingOf(store, name) {
  const { settings } = store.meta;
  return store.sides[name].settings || { ...settings, repetition_penalty: settings.repetition_penalty[name] };
}

function addBase(store, text, tokens) {
  store.sides.base.text += text;
  store.sides.base.tokens += tokens;
}

function addPieces(store, pieces) {
  for (const [id, text] of pieces) {
    store.pieces.push({ id, text, special: false });
    store.sides.aligned.text += text;
  }
  store.sides.aligned.tokens = store.pieces.length;
}

/* Rows of a context, in order; a row without a piece (a host that sends rows alone) makes its piece. */
function addRows(store, name, columns) {
  const context = (store.contexts[name] = store.contexts[name] || { name, rows: [], exact: true, context: null, context_tokens: null });
  const special = new Set(columns.special);
  columns.token.forEach((entry, i) => {
    const [id, text] = columns.table[entry];
    const position = columns.start + i;
    context.rows[position] = {
      position,
      id,
      text,
      cls: columns.class[i],
      special: special.has(position),
      rank: columns.base_rank[i],
      alignedRank: columns.aligned_rank[i],
      pb: columns.base_p[i],
      pa: columns.aligned_p[i],
      kl: columns.kl[i],
      js: columns.js[i],
      needs: columns.switch ? columns.switch[i] : null,
      open: columns.uncovered ? columns.uncovered[i] : null,
      reason: columns.unscored ? columns.unscored[position] || null : null,
      packed: columns,
      at: i,
    };
    if (position >= store.pieces.length) store.pieces.push({ id, text, special: special.has(position) });
    else if (special.has(position)) store.pieces[position].special = true;
  });
}

function setContext(store, name, facts) {
  const context = store.contexts[name];
  if (context) Object.assign(context, { exact: facts.exact, context: facts.context, context_tokens: facts.context_tokens });
}

/* The top list of a row: [{id, text, p}], most probable first. */
function topOf(row, side) {
  const columns = row.packed;
  const probabilities = columns[`${side}_top_p`][row.at];
  return columns[`${side}_top`][row.at].map((entry, k) => ({
    id: columns.table[entry][0],
    text: columns.table[entry][1],
    p: probabilities[k],
  }));
}

/* Contexts that hold rows; a second one with the very same text (method zero_shot) adds nothing. */
function heldContexts(store) {
  const held = CONTEXTS.filter((name) => store.contexts[name] && store.contexts[name].rows.length);
  const same = held.length === 2 && store.contexts.zero_shot.context !== null;
  return same && store.contexts.zero_shot.context === store.contexts.urial.context ? ["zero_shot"] : held;
}

/* What can be chosen: until the end of a comparison what it is going to score, so that no choice comes or goes. */
function offeredContexts(store) {
  const held = heldContexts(store);
  const { settings } = store.meta || {};
  const areKnown = Object.values(store.contexts).some(({ context }) => context !== null);
  if (!store.running || areKnown || !settings) return held;
  return settings.method === "zero_shot" ? ["zero_shot"] : CONTEXTS;
}

function shownContexts(store) {
  const held = heldContexts(store);
  if (store.ui.sees === "both" && held.length === 2) return held;
  return held.includes(store.ui.sees) ? [store.ui.sees] : held.slice(0, 1);
}

function primaryContext(store) {
  const [name] = shownContexts(store);
  return name ? store.contexts[name] : null;
}

function countedRows(store, context) {
  return context.rows.filter((row) => row.cls !== "n" && (store.ui.countEnd || !row.special));
}

/* Rows that could not be scored and would count otherwise. */
function unscoredRows(store, context) {
  return context.rows.filter((row) => row.cls === "n" && (store.ui.countEnd || !row.special));
}

/* "53 tokens + end token": the end token is no part of the text, and in no share unless the reader counts it. */
function lengthText(store, name) {
  const { tokens } = store.sides[name] || { tokens: 0 };
  const ends = name === "aligned" ? store.pieces.filter(({ special }) => special).length : 0;
  return ends ? `${plural(tokens - ends, "token")} + end token` : plural(tokens, "token");
}

/* "2 tokens are not scored and in no share: the server told no number (2)."; empty where all are scored. */
function unscoredText(store, context) {
  const rows = unscoredRows(store, context);
  if (!rows.length) return "";
  const times = new Map();
  rows.forEach((row) => times.set(row.reason, (times.get(row.reason) || 0) + 1));
  const reasons = [...times].map(([reason, count]) => `${UNSCORED_REASONS[reason]} (${whole(count)})`).join(", ");
  return `${plural(rows.length, "token")} ${rows.length === 1 ? "is" : "are"} not scored and in no share or mean: ${reasons}.`;
}

/* Of the rows that count, those that repeat nothing (spans of positions, from render.payload). */
function freshRows(store, context) {
  const { repeats } = store.meta || { repeats: [] };
  return countedRows(store, context).filter(({ position }) => !repeats.some(([start, end]) => position >= start && position < end));
}

/* The shares that are told first: repeats are left out. */
function headline(store, context) {
  return tally(store, context, freshRows(store, context));
}

/* {n, u, m, s, meanKl, openKl, laterKl}: counts of classes and means of KL, over the rows that count. */
function tally(store, context, rows = countedRows(store, context)) {
  const count = { n: rows.length, u: 0, m: 0, s: 0 };
  rows.forEach((row) => (count[row.cls] += 1));
  const mean = (list) => (list.length ? list.reduce((sum, row) => sum + row.kl, 0) / list.length : null);
  return {
    ...count,
    meanKl: mean(rows),
    openKl: mean(rows.filter((row) => row.position < 5)),
    laterKl: mean(rows.filter((row) => row.position >= 5)),
  };
}

/* Positions grouped into what is walked: single tokens, or words made of sub-word pieces. */
function unitsOf(store) {
  const single = store.pieces.map((_, position) => [position]);
  if (!store.ui.words) return single;
  const starts = wordStarts(store.pieces.map((piece) => piece.text).join(""));
  const units = [];
  let offset = 0;
  let last = -1;
  store.pieces.forEach((piece, position) => {
    const lead = piece.text.length - piece.text.trimStart().length;
    const at = lead === piece.text.length ? offset : offset + lead;
    const word = starts[Math.min(at, starts.length - 1)];
    if (units.length && word === last && !piece.special) units[units.length - 1].push(position);
    else units.push([position]);
    last = piece.special ? -1 : word;
    offset += piece.text.length;
  });
  return units;
}

/* For every character, where its word starts; the browser's segmenter knows scripts that write no spaces. */
function wordStarts(text) {
  const starts = new Array(text.length);
  for (const { segment, index } of new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)) {
    starts.fill(index, index, index + segment.length);
  }
  return starts;
}

/* The row that speaks for a unit: the one the base ranks lowest; one that is not scored only where no other is. */
function worstRow(context, positions) {
  let worst = null;
  for (const position of positions) {
    const row = context.rows[position];
    if (row && (!worst || (row.rank || 0) > (worst.rank || 0))) worst = row;
  }
  return worst;
}
