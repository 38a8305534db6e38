/* What a batch may ask of a turn: the server's words for the token view (see `page_steps.py`) and for the page around it. */

const VIEW_STEPS = {
  reset: (turn, started) => {
    turn.pieces = [];
    turn.rows = {};
    setWriting(turn, ["base", "aligned"]);
    turn.view.reset(started);
  },
  restart: (turn, { name, settings }) => {
    if (name === "aligned") {
      turn.pieces = [];
      turn.rows = {};
    }
    setWriting(turn, [name]);
    turn.view.restart({ name, settings });
  },
  append: (turn, delta) => {
    if (delta.aligned) turn.pieces.push(...delta.aligned);
    for (const [name, rows] of Object.entries(delta.shift || {})) countRows(turn, name, rows);
    turn.view.append(delta);
  },
  labels: (turn, found) => turn.view.labels(found),
  sideDone: (turn, done) => (hasWritten(turn, done.name), turn.view.sideDone(done)),
  fail: (turn, failure) => (hasWritten(turn, failure.name), turn.view.fail(failure)),
  done: (turn, record) => {
    turn.answer = record.aligned.text;
    turn.repeats = record.repeats;
    turn.view.done(withEmptyRows(record));
  },
  load: (turn, record) => {
    const [first] = Object.values(record.shift);
    turn.pieces = first ? first.rows.token.map((entry) => first.rows.table[entry]) : [[null, record.aligned.text]];
    turn.rows = {};
    for (const [name, { rows }] of Object.entries(record.shift)) countRows(turn, name, rows);
    turn.answer = record.aligned.text;
    turn.repeats = record.repeats;
    turn.view.load(record);
  },
};

const PAGE_STEPS = {
  say: (turn, { message, fraction }) => say(turn, fraction === null ? `${message}…` : `${message}: ${Math.round(100 * fraction)} %`),
  line: (turn, { name, position }) => {
    turn.line[name] = position;
    say(turn, lineWords(turn.line));
  },
  queue: (turn, place) => say(turn, queueWords(place)),
  refuse: (turn, { message }) => refuse(turn, message),
};

/* The place in the page's own line: how many wait before, and about how long, where that can be said. */
function queueWords({ before, seconds }) {
  const place = before === 0 ? "You are next" : `${before} before you`;
  if (seconds === null) return `${place}.`;
  return `${place}, about ${seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`}.`;
}

/* Places in line at a busy server: 1 is the next to begin, 0 has begun. */
function lineWords(line) {
  const place = (position) => (position === 1 ? "next in line" : `${position - 1} before you`);
  const waiting = Object.entries(line).filter(([, position]) => position > 0);
  return waiting.map(([name, position]) => `The ${name} answer waits for the server: ${place(position)}.`).join(" ");
}

function applyStep(turn, name, argument) {
  if (Object.hasOwn(PAGE_STEPS, name)) return PAGE_STEPS[name](turn, argument);
  turn.log.push([name, argument]);
  return VIEW_STEPS[name](turn, argument);
}

/* An earlier turn's view is made anew from what was sent for it. */
function replay(turn) {
  for (const [name, argument] of turn.log) VIEW_STEPS[name](turn, argument);
}

/* What counts, by context, for the score of a folded turn: rows that are scored and not special. */
function countRows(turn, name, rows) {
  const counts = (turn.rows[name] = turn.rows[name] || { rows: 0, words: [] });
  const special = new Set(rows.special);
  counts.rows += rows.token.length;
  [...rows.class].forEach((letter, index) => {
    if (!special.has(rows.start + index) && letter !== "n") counts.words.push([rows.start + index, letter === "s"]);
  });
}

/* The headline of a folded turn: repeats (spans of positions) are left out. */
function scoreOf({ rows, repeats }) {
  const [first] = [rows.zero_shot, ...Object.values(rows)].filter(Boolean);
  const words = first ? first.words.filter(([position]) => !(repeats || []).some(([start, end]) => position >= start && position < end)) : [];
  return words.length ? `${((100 * words.filter(([, shifted]) => shifted).length) / words.length).toFixed(1)} % shifted` : "";
}

/* Whether every row of a finished record has arrived. */
function isComplete(turn, record) {
  return Object.entries(record.shift).every(([name, context]) => (turn.rows[name] || { rows: 0 }).rows === context.rows);
}

/* The rows have been streamed; the view wants to know how many there are. */
function withEmptyRows(record) {
  const shift = Object.entries(record.shift).map(([name, context]) => [name, { ...context, rows: { token: new Array(context.rows) } }]);
  return { ...record, shift: Object.fromEntries(shift) };
}
