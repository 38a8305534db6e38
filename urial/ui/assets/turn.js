/* One turn: a question, the place of its two answers, what can be kept of it. Knows nothing of transport. */

const KINDS = [
  ["html", "HTML"],
  ["json", "JSON"],
  ["csv", "CSV"],
  ["png", "PNG"],
];

/* What the button ends: a side that has ended already is not named. */
const STOP_WORDS = { both: "Stop both", base: "Stop the base answer", aligned: "Stop the aligned answer" };

function createTurn(ask, acts, billions) {
  const turn = { ask, writing: ["base", "aligned"], state: "waiting", resultId: null, active: null, pieces: [], rows: {}, log: [], draws: {}, line: {}, view: null, isWhole: false, isStopped: false };
  const parts = (turn.parts = {
    query: make("button", { type: "button", class: "turn-query", dir: "auto", "aria-expanded": "true" }, plainText(ask.query)),
    brief: make("span", { class: "turn-brief" }),
    stop: button(STOP_WORDS.both, () => acts.stop(turn, "both"), { class: "pg-button turn-stop" }),
    meanwhile: button("Recordings meanwhile", openGallery, { class: "pg-button turn-meanwhile" }),
    status: make("p", { class: "turn-status", role: "status" }),
    problem: make("div", { class: "notice", role: "alert", hidden: true }),
    body: make("div", { class: "turn-view" }),
    keep: make("div", { class: "turn-keep", hidden: true }),
  });
  parts.query.addEventListener("click", () => acts.toggle(turn));
  const head = make("header", { class: "turn-head" }, make("h2", { class: "turn-title" }, parts.query), parts.brief);
  const line = make("div", { class: "turn-line" }, parts.status, parts.meanwhile, parts.stop, parts.keep); // keeps its room from the start
  turn.el = make("section", { class: "turn", "aria-label": "A question and its two answers" }, head, line, parts.problem, createSizeNote(billions), parts.body);
  fillKeep(turn, acts);
  return turn;
}

function fillKeep(turn, acts) {
  const buttons = KINDS.map(([kind, label]) => button(label, () => acts.keep(turn, kind), { "data-kind": kind, "aria-label": `Download as ${label}` }));
  const link = button("Copy link", (event) => acts.copyLink(turn, event.currentTarget), { "data-kind": "link" });
  turn.parts.keep.append(make("span", { class: "quiet" }, "Keep:"), ...buttons, link);
}

function mountView(root, acts, turnOf, { under, titleOf }) {
  const options = { theme: "host", actions: ["stop", "again"], continuation: true, visit: true, picture: true, under, titleOf };
  return addressView(window.UrialView.mount(root, options))
    .on("stop", ({ side }) => acts.stop(turnOf(), side))
    .on("again", ({ side }) => acts.again(turnOf(), side))
    .on("continue-from", (place) => acts.branch(turnOf(), place))
    .on("continue-with", (place) => acts.branch(turnOf(), place))
    .on("branch-closed", () => acts.closeBranch());
}

/* Which sides are still to be written; the last one's name stays until the run itself has ended. */
function setWriting(turn, sides) {
  turn.writing = sides;
  if (sides.length) setText(turn.parts.stop, STOP_WORDS[sides.length === 2 ? "both" : sides[0]]);
}

function hasWritten(turn, name) {
  setWriting(turn, turn.writing.filter((side) => side !== name));
}

function setState(turn, state) {
  turn.state = state;
  turn.el.dataset.state = state;
  turn.el.dataset.result = turn.resultId || "";
  turn.parts.stop.hidden = state === "done" || state === "failed";
  turn.parts.keep.hidden = state !== "done";
}

/* A question that cannot be answered: one sentence, and whatever is there already stays. */
function refuse(turn, message) {
  turn.parts.problem.hidden = false;
  setText(turn.parts.problem, plainText(message));
  say(turn, "");
  if (turn.view) turn.view.stopped();
  turn.parts.body.hidden = turn.log.length === 0;
  setState(turn, turn.resultId ? "done" : "failed");
}

/* Whether a turn is, or will be, the answer to a question; a stopped, failed or drawn one is not. */
function isAnswering(turn, asked) {
  const isSame = Object.keys(asked).every((name) => JSON.stringify(asked[name]) === JSON.stringify(turn.ask[name]));
  const isComing = turn.state === "waiting" || (turn.active && !turn.isStopped);
  return isSame && !Object.keys(turn.draws).length && (isComing || turn.isWhole);
}

/* Whether both answers of a record ran to their end. */
function hasEnded(record) {
  return ["base", "aligned"].every((side) => ["stop", "length"].includes(record[side].stop_reason));
}

function forgive(turn) {
  turn.parts.problem.hidden = true;
}

function say(turn, words) {
  setText(turn.parts.status, words);
}

/* An earlier turn shows its question and its score; a click opens it again. */
function fold(turn, isFolded) {
  turn.el.classList.toggle("folded", isFolded);
  turn.parts.query.setAttribute("aria-expanded", String(!isFolded));
  setText(turn.parts.brief, isFolded ? scoreOf(turn) : "");
}
