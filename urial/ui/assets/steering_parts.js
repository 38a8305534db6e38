/* What the dial and nudging have in common: a run with its buttons and its words, an answer with marks, its facts. */

const ENDS = { stop: "by itself", length: "at the length limit", cancelled: "stopped by you", error: "by an error" };

/* `steer(how, apply)` begins a run and gives {stop}. `heard` gets its steps; `changed` is called whenever it begins or ends. */
function createSteerRun(label, steer, { begin, heard, changed }) {
  const start = button(label, () => start.getAttribute("aria-disabled") !== "true" && begin(), { class: "pg-button st-start" });
  const stop = button("Stop", halt, { hidden: true });
  const status = make("p", { class: "quiet st-status", role: "status" });
  const problem = make("p", { class: "notice", role: "alert", hidden: true });
  let run = null;

  function go(how, words) {
    problem.hidden = true;
    setText(status, words);
    run = {};
    show();
    Object.assign(run, steer(how, (name, argument) => apply(words, name, argument)));
  }

  function halt() {
    if (!run) return;
    setText(status, "Stopping…");
    run.isStopping = true;
    run.stop();
  }

  function apply(words, name, argument) {
    if (name === "say" || name === "queue") return run.isStopping || setText(status, name === "say" ? `${argument.message}…` : queueWords(argument));
    if (name === "steerStart" && !run.isStopping) setText(status, words);
    if (name === "steerFail" || name === "refuse") tellProblem(argument.message);
    if (name === "steerDone" || name === "refuse") end();
    heard(name, argument);
    if (!run) changed();
  }

  function end() {
    run = null;
    setText(status, "");
    show();
  }

  function tellProblem(message) {
    problem.hidden = false;
    setText(problem, plainText(message));
  }

  /* The focus never falls off a button that goes. */
  function show() {
    if (!run && document.activeElement === stop) start.focus();
    stop.hidden = !run;
  }

  function allow(isAllowed) {
    start.setAttribute("aria-disabled", String(!isAllowed));
  }

  return { buttons: [start, stop], status, problem, go, halt, allow, say: (words) => setText(status, words), isRunning: () => Boolean(run) };
}

/* An answer with marked parts, its title and its facts beside it. What it once was tall it stays, so that nothing jumps. */
function createSteeredAnswer(label) {
  const title = make("h4", { class: "st-title" });
  const note = make("p", { class: "quiet st-note" });
  const text = make("div", { class: "st-answer", dir: "auto" });
  const facts = make("dl", { class: "st-facts" });
  const body = make("div", { class: "st-body" }, text, facts);
  const el = make("div", { class: "st-result", role: "group", "aria-label": label, hidden: true }, title, note, body);

  function show({ title: words, note: said, parts, facts: rows }) {
    el.hidden = false;
    setText(title, words);
    setText(note, said);
    text.replaceChildren(...parts);
    facts.replaceChildren(...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
    body.style.minHeight = `${Math.max(parseFloat(body.style.minHeight) || 0, body.offsetHeight)}px`;
  }
  return { el, show, hide: () => (el.hidden = true) };
}

/* [[text, isMarked], ...] as nodes: marked neighbours are one mark. Space at either end is left out, as above. */
function markedParts(pieces, tag, className) {
  const runs = [];
  for (const [text, isMarked] of trimmed(pieces)) {
    const last = runs[runs.length - 1];
    if (last && last.isMarked === Boolean(isMarked)) last.text += text;
    else if (text) runs.push({ text, isMarked: Boolean(isMarked) });
  }
  return runs.map(({ text, isMarked }) => (isMarked ? make(tag, { class: className }, plainText(text)) : plainText(text)));
}

function trimmed(pieces) {
  const first = pieces.findIndex(([text]) => !isSpace(text));
  if (first < 0) return [];
  return pieces.slice(first).map(([text, isMarked], index) => [index === 0 ? text.replace(/^[ \t\n]+/, "") : text, isMarked]);
}

function endFacts({ stop_reason: reason, declines }) {
  return [
    ["Ends", ENDS[reason] || reason],
    ["Declines", `${declines ? "yes" : "no"} (told by its first words)`],
  ];
}

const percent = (share, digits = 1) => (share === null ? "–" : `${(100 * share).toFixed(digits)}\u00a0%`);
const tokensOf = (count) => `${count.toLocaleString("en")}\u00a0token${count === 1 ? "" : "s"}`;

/* A row of native radios, as the view draws its own. */
function createChoice(legend, options, chosen, onPick) {
  const name = `choice-${newId()}`;
  const items = options.map(([value, label]) => {
    const input = make("input", { type: "radio", name, value, checked: value === chosen, on: { change: () => onPick(value) } });
    return make("label", { class: "uv-choice" }, input, make("span", {}, label));
  });
  return make("fieldset", { class: "uv-choices" }, make("legend", {}, legend), make("div", { class: "uv-segments" }, items));
}

/* A native slider over a list of values: `words(value)` are what is seen and spoken of it. */
function createSlider(label, values, chosen, words, on) {
  const value = () => values[Number(input.value)];
  const input = make("input", { type: "range", class: "st-slider", min: 0, max: values.length - 1, step: 1, "aria-label": label });
  input.value = String(values.indexOf(chosen));
  const show = () => input.setAttribute("aria-valuetext", words(value()));
  input.addEventListener("input", () => (show(), on.input && on.input(value())));
  input.addEventListener("change", () => on.change && on.change(value()));
  show();
  return { el: input, value, show, set: (wanted) => ((input.value = String(values.indexOf(wanted))), show()) };
}
