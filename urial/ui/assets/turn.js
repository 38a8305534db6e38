/* One turn: a question, both answers in a token view of their own, what can be kept of it. Knows nothing of transport. */

const KINDS = [
  ["html", "HTML"],
  ["json", "JSON"],
  ["csv", "CSV"],
  ["png", "PNG"],
];

function createTurn(ask, id, acts) {
  const turn = { id, ask, state: "waiting", pieces: [], view: null, computedAt: null };
  const parts = (turn.parts = {
    query: make("button", { type: "button", class: "turn-query", dir: "auto", "aria-expanded": "true" }, plainText(ask.query)),
    brief: make("span", { class: "turn-brief" }),
    stop: button("Stop both", () => acts.stop(turn, "both"), { class: "pg-button turn-stop" }),
    status: make("p", { class: "turn-status", role: "status" }),
    problem: make("div", { class: "notice", role: "alert", hidden: true }),
    body: make("div", { class: "turn-view" }),
    keep: make("div", { class: "turn-keep", hidden: true }),
  });
  parts.query.addEventListener("click", () => fold(turn, !turn.el.classList.contains("folded")));
  const head = make("header", { class: "turn-head" }, parts.query, parts.brief, parts.stop);
  turn.el = make("section", { class: "turn", "aria-label": "One question and its two answers" }, head, parts.status, parts.problem, parts.body, parts.keep);
  fillKeep(turn, acts);
  mountView(turn, acts);
  say(turn, "Waiting for a free place…");
  return turn;
}

function mountView(turn, acts) {
  turn.view = window.UrialView.mount(turn.parts.body, { theme: "host", actions: ["stop", "again"], continuation: true, visit: false });
  turn.view
    .on("stop", ({ side }) => acts.stop(turn, side))
    .on("again", ({ side }) => acts.again(turn, side))
    .on("continue-from", (place) => acts.branch(turn, place))
    .on("continue-with", (place) => acts.branch(turn, place))
    .on("branch-closed", () => acts.closeBranch(turn));
}

function fillKeep(turn, acts) {
  const buttons = KINDS.map(([kind, label]) => button(label, () => acts.keep(turn, kind), { "data-kind": kind, "aria-label": `Download as ${label}` }));
  const link = button("Copy link", (event) => acts.copyLink(turn, event.currentTarget), { "data-kind": "link" });
  turn.parts.keep.append(make("span", { class: "quiet" }, "Keep this:"), ...buttons, link);
}

/* The steps that a batch may hold. */
const STEPS = {
  say: (turn, { message, fraction }) => say(turn, fraction === null ? `${message}…` : `${message}: ${Math.round(100 * fraction)} %`),
  reset: (turn, started) => {
    turn.pieces = [];
    turn.view.reset(started);
    setState(turn, "running");
  },
  append: (turn, delta) => {
    if (delta.aligned) turn.pieces.push(...delta.aligned);
    if (turn.state === "running") say(turn, "");
    turn.view.append(delta);
  },
  sideDone: (turn, done) => turn.view.sideDone(done),
  fail: (turn, failure) => turn.view.fail(failure),
  kept: () => {},
  done: (turn, record) => {
    turn.answer = record.aligned.text;
    turn.view.done(withEmptyRows(record));
    setState(turn, "done");
  },
  refuse: (turn, { message }) => refuse(turn, message),
};

/* The rows have been streamed; the view wants to know how many there are, to notice if one is missing. */
function withEmptyRows(record) {
  const shift = Object.fromEntries(
    Object.entries(record.shift).map(([name, context]) => [name, { ...context, rows: { token: new Array(context.rows) } }]),
  );
  return { ...record, shift };
}

function showPayload(turn, record, words) {
  const rows = Object.values(record.shift)[0];
  turn.pieces = rows ? rows.rows.token.map((entry) => rows.rows.table[entry]) : [];
  turn.answer = record.aligned.text;
  turn.view.load(record);
  setState(turn, "done");
  say(turn, words);
}

function setState(turn, state) {
  turn.state = state;
  turn.el.dataset.state = state;
  turn.parts.stop.hidden = state === "done" || state === "failed";
  turn.parts.keep.hidden = state !== "done";
  if (state === "done" || state === "failed") say(turn, "");
  document.body.classList.toggle("has-answer", state === "done");
}

function refuse(turn, message) {
  turn.parts.problem.hidden = false;
  setText(turn.parts.problem, plainText(message));
  turn.view.stopped();
  turn.parts.body.hidden = turn.pieces.length === 0;
  setState(turn, "failed");
}

function say(turn, words) {
  setText(turn.parts.status, words);
}

/* An earlier turn shows its question and its score; a click opens it again. */
function fold(turn, isFolded) {
  turn.el.classList.toggle("folded", isFolded);
  turn.parts.query.setAttribute("aria-expanded", String(!isFolded));
}
