/* The ladder of prompts: on demand, the shares of one answer under six prompts in one picture, and each in full. The
   server counts (see `ladder_steps.py`); this draws. One ladder stands in the live view, for the newest turn. */

const LADDER_ASK = "Compare prompts";
const LADDER_LEAD = "The same answer, scored once more with the base seeing six prompts: from the question alone to URIAL with eight examples.";
const SHARE_NAMES = { u: "unshifted", m: "marginal", s: "shifted" };

/* `run` is {feeds, take, askServer}: the conversation's way to the server. */
function createLadder(run) {
  const parts = {
    ask: button(LADDER_ASK, () => (state && state.isRunning ? leave() : begin()), { class: "pg-button ladder-ask" }), // begins, then stops
    lead: make("span", { class: "quiet" }, LADDER_LEAD),
    status: make("p", { class: "ladder-words", role: "status" }),
    picture: make("ul", { class: "ladder-rungs", "aria-label": "Shares of the answer’s tokens under each prompt" }),
    numbers: make("details", { class: "ladder-numbers" }),
    full: make("div", { class: "ladder-full" }),
  };
  const el = make("section", { class: "ladder", "aria-label": "The same answer under other prompts", hidden: true });
  el.append(make("div", { class: "ladder-head" }, parts.ask, parts.lead), parts.status, parts.picture, parts.numbers, parts.full);
  let turn = null;
  let state = null; // turn.ladder: what has come for its answer
  let view = null; // of the rung that is shown in full

  /* The newest turn, at each of its changes. A ladder of another answer is stopped, and kept with its turn. */
  function show(newest) {
    const held = newest && newest.ladder && newest.ladder.of === newest.resultId ? newest.ladder : null;
    if (held !== state && state && state.isRunning) leave();
    const isOther = newest !== turn || held !== state;
    [turn, state] = [newest, held];
    el.hidden = !(turn && turn.state === "done" && turn.resultId && Object.keys(turn.rows).length);
    if (isOther) redraw();
  }

  function begin() {
    if (!turn || turn.active || (state && !state.refused)) return;
    state = turn.ladder = { id: newId(), of: turn.resultId, rungs: [], told: null, answer: 0, isRunning: true, words: "Waiting for a free place…" };
    redraw();
    const own = state;
    run.feeds.open(own.id, (name, argument) => apply(own, name, argument));
    run.take("ladder", { id: own.id, ask: turn.ask, of: own.of });
  }

  function leave() {
    run.askServer("stop", { id: state.id, side: "both" });
  }

  /* A ladder that is out of sight goes on taking what comes for it. */
  function apply(own, name, argument) {
    if (name === "say") own.words = argument.fraction === null ? `${argument.message}…` : `${argument.message}: ${Math.round(100 * argument.fraction)} %`;
    if (name === "queue") own.words = queueWords(argument);
    if (name === "ladderStart") Object.assign(own, argument);
    if (name === "ladderTold") own.told = argument;
    if (name === "ladderDone" || name === "refuse") {
      own.isRunning = false;
      own.refused = name === "refuse" ? argument.message : "";
      run.feeds.close(own.id);
    }
    if (own !== state) return;
    if (name === "ladderStart") redraw();
    else update();
  }

  function redraw() {
    closeFull();
    parts.picture.replaceChildren(...(state ? state.rungs.map(rungRow) : []));
    update();
  }

  function rungRow(rung, index) {
    const bars = Object.fromEntries(Object.keys(SHARE_NAMES).map((letter) => [letter, make("span", { class: `uv-bar uv-bar-${letter}`, hidden: true })]));
    const share = make("span", { class: "ladder-share" });
    const inside = [make("span", { class: "ladder-name" }, rungName(rung)), make("span", { class: "uv-meter", "aria-hidden": "true" }, Object.values(bars)), share];
    if (rung.problem) return make("li", { class: "ladder-rung" }, inside[0], make("span", { class: "quiet ladder-problem" }, plainText(rung.problem)));
    const row = make("button", { type: "button", class: "ladder-rung", "aria-expanded": "false", disabled: true, on: { click: () => toggleFull(index) } }, inside);
    return make("li", null, Object.assign(row, { rungParts: { bars, share } }));
  }

  function update() {
    setText(parts.ask, state && state.isRunning ? "Stop comparing" : LADDER_ASK);
    parts.ask.setAttribute("aria-disabled", String(Boolean(state && !state.isRunning && !state.refused)));
    el.classList.toggle("begun", Boolean(state && !state.refused)); // its room is there before what comes
    setText(parts.status, state ? ladderWords(state) : "");
    parts.status.classList.toggle("wrong", Boolean(state && state.refused));
    parts.numbers.classList.toggle("there", Boolean(state && state.told && !state.isRunning));
    if (!state || !state.told) return;
    parts.picture.querySelectorAll("button").forEach((row) => fillRung(row, state));
    if (!state.isRunning) parts.numbers.replaceChildren(make("summary", null, "The numbers"), ladderTable(state));
  }

  function fillRung(row, { told, isRunning }) {
    const index = [...parts.picture.children].indexOf(row.parentElement);
    const { fresh } = told.rungs[index];
    const whole = fresh.u + fresh.m + fresh.s;
    for (const [letter, bar] of Object.entries(row.rungParts.bars)) {
      bar.hidden = !fresh[letter]; // a part that is not there has no edge either
      bar.style.width = whole ? `${(100 * fresh[letter]) / whole}%` : "0";
    }
    setText(row.rungParts.share, whole ? `${percentOf(fresh, "s")} shifted` : "");
    row.disabled = isRunning || !whole;
  }

  /* One prompt in full: the token view of this answer with that prompt in the base's sight. */
  async function toggleFull(index) {
    const wasOpen = state.open === index;
    const own = state;
    closeFull();
    if (wasOpen) return;
    own.open = index;
    const row = parts.picture.children[index].firstElementChild;
    row.setAttribute("aria-expanded", "true");
    const found = await run.askServer("whole", { id: `${own.id}/${index}` });
    if (state !== own || own.open !== index) return;
    if (found.error) return parts.full.replaceChildren(make("div", { class: "notice", role: "alert" }, plainText(found.error)));
    parts.full.replaceChildren(make("h4", { tabindex: "-1" }, `The base sees ${rungName(own.rungs[index]).replace(/^T/, "t")}`));
    view = window.UrialView.mount(parts.full, { theme: "host", actions: [], continuation: false, visit: false, comparison: found.record });
    parts.full.firstElementChild.focus({ preventScroll: true });
    parts.full.scrollIntoView({ block: "nearest", behavior: calm() ? "auto" : "smooth" });
  }

  function closeFull() {
    if (view) view.destroy();
    view = null;
    if (state) state.open = null;
    parts.full.replaceChildren();
    parts.picture.querySelectorAll("button").forEach((row) => row.setAttribute("aria-expanded", "false"));
  }

  return { el, show };
}

function rungName({ method, examples }) {
  if (method === "zero_shot") return "The question alone";
  if (method === "vanilla_icl") return "The plain examples";
  return examples ? `URIAL, ${examples} example${examples === 1 ? "" : "s"}` : "URIAL, instructions only";
}

function percentOf(counts, letter) {
  const whole = counts.u + counts.m + counts.s;
  return whole ? `${((100 * counts[letter]) / whole).toFixed(1)}\u00a0%` : "–";
}

/* What is going on, then the finding, from the first prompt that was read to the last. */
function ladderWords({ refused, isRunning, told, answer, words, rungs }) {
  if (refused) return plainText(refused);
  if (isRunning && !told) return plainText(words);
  if (isRunning) return `Scored ${told.scored} of ${answer} tokens under each prompt…`;
  const read = Object.keys(told.rungs).map(Number);
  const [first, last] = [read[0], read[read.length - 1]];
  const [bare, full] = [told.rungs[first].fresh, told.rungs[last].fresh];
  const pieces = bare.u + bare.m + bare.s;
  if (!pieces) return "Stopped before the first token was scored.";
  const cut = told.scored < answer ? `Stopped after ${told.scored} of ${answer} tokens. ` : "";
  const repeats = pieces < everyOf(told.rungs[first]) ? " Pieces that repeat earlier ones word for word are left out." : "";
  const names = [first, last].map((index) => rungName(rungs[index]).replace(/^The/, "the"));
  return `${cut}Of the same ${pieces} pieces, ${bare.s} come from tuning where the base sees ${names[0]}, and ${full.s} where it sees ${names[1]}. Choose a prompt to see it token by token.${repeats}`;
}

function everyOf({ every }) {
  return every.u + every.m + every.s;
}

/* The table behind the picture. Where pieces repeat, the paper's own way of counting stands beside. */
function ladderTable({ rungs, told }) {
  const found = Object.entries(told.rungs).map(([index, counts]) => ({ ...counts, rung: rungs[index] }));
  const hasRepeats = found.some((each) => everyOf(each) > everyOf({ every: each.fresh }));
  const head = ["The base sees", "prompt, tokens", ...Object.values(SHARE_NAMES), "mean KL, nats", "counted tokens", ...(hasRepeats ? ["shifted, all counted"] : [])];
  const row = ({ rung, fresh, every, mean_kl: kl }) => {
    const cells = [rung.tokens.toLocaleString("en"), ...Object.keys(SHARE_NAMES).map((letter) => percentOf(fresh, letter)), kl === null ? "–" : kl.toFixed(2), String(everyOf({ every: fresh }))];
    if (hasRepeats) cells.push(percentOf(every, "s"));
    return make("tr", null, make("th", { scope: "row" }, rungName(rung)), cells.map((cell) => make("td", null, cell)));
  };
  const table = make("table", { class: "uv-table" }, make("thead", null, make("tr", null, head.map((name) => make("th", { scope: "col" }, name)))), make("tbody", null, found.map(row)));
  const note = make("p", { class: "quiet" }, `End tokens are left out. Each row equals what “urial score” gives for this answer with that prompt.${hasRepeats ? " Repeats are left out too, but in the last column, which counts as the paper does." : ""}`);
  return make("div", null, make("div", { class: "ladder-scroll", tabindex: "0", role: "region", "aria-label": "Shares under each prompt, table" }, table), note);
}
