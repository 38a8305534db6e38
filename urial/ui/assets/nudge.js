/* Nudging: the base writes, and the aligned model gives single tokens where a rule fires. */

const RANKS = [1, 2, 3, 5, 10, 20, 50, 100, 1000];
const SURE = Array.from({ length: 20 }, (_, index) => (index + 1) / 20);
const FIRST = [0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50];

const RULES = {
  rank: { label: "where the base would hardly say them", values: RANKS, chosen: 3, write: (value) => `rank>${value}`, words: (value) => (value === 1 ? "wherever the base’s first choice is another: the aligned answer itself" : `where the aligned model’s word is below number ${value} on the base’s list`) },
  confidence: { label: "where the base is unsure", values: SURE, chosen: 0.4, write: (value) => `confidence<${value}`, words: (value) => `where the base gives its own first choice less than ${Math.round(100 * value)}\u00a0%` },
  first: { label: "at the beginning", values: FIRST, chosen: 5, write: (value) => `first:${value}`, words: (value) => (value === 0 ? "nothing: the base’s own answer" : value === 1 ? "the first token" : `the first ${value} tokens`) },
};

function createNudge(choice, steer) {
  const sliders = Object.fromEntries(Object.entries(RULES).map(([name, rule]) => [name, createSlider("How much", rule.values, rule.chosen, rule.words, { input: showRule })]));
  const chooser = createChoice("It gives words", Object.entries(RULES).map(([name, { label }]) => [name, label]), "rank", (name) => choose(name));
  const words = make("p", { class: "st-rule" });
  const place = make("div", { class: "st-scale st-short" });
  const preset = button("Try: only the first 5 tokens", () => (choose("first", 5), begin()), { class: "pg-button st-preset" });
  const answer = createSteeredAnswer("The base’s answer with given words");
  const run = createSteerRun("Write the nudged answer", steer, { begin, heard, changed: allow });
  const el = make("div", { class: "st-nudge" }, chooser, place, words, make("div", { class: "st-line" }, run.buttons, preset, run.status), run.problem, answer.el);
  let name = "rank";
  let made = null; // {rule, pieces, done}

  function choose(chosen, value) {
    name = chosen;
    if (value !== undefined) sliders[name].set(value);
    for (const input of chooser.querySelectorAll("input")) input.checked = input.value === name;
    place.replaceChildren(sliders[name].el);
    showRule();
  }

  function showRule() {
    const said = RULES[name].words(sliders[name].value());
    setText(words, `${said[0].toUpperCase()}${said.slice(1)}.`);
  }

  function begin() {
    if (run.isRunning()) return;
    made = { rule: RULES[name].words(sliders[name].value()), pieces: [], done: null };
    run.go({ rule: RULES[name].write(sliders[name].value()), context: choice().context }, "Writing…");
    allow();
  }

  function allow() {
    const isFree = !run.isRunning();
    run.allow(isFree);
    preset.setAttribute("aria-disabled", String(!isFree));
  }

  function heard(step, argument) {
    if (step === "nudgeAppend") made.pieces.push(...argument.pieces);
    else if (step === "steerDone") Object.assign(made, { pieces: argument.pieces, done: argument });
    else if (step !== "steerStart") return;
    const parts = markedParts(made.pieces, "mark", "st-given");
    answer.show({ title: `Given: ${made.rule}`, note: "Boxed words come from the aligned model, all others from the base.", parts, facts: nudgeFacts(made) });
  }

  choose("rank");
  return { el, halt: run.halt };
}

function nudgeFacts({ pieces, done }) {
  if (!done) return [["Tokens", `${pieces.filter(([, isGiven]) => isGiven).length} of ${tokensOf(pieces.length)} given so far`]];
  const mean = done.mean_log_probability;
  const facts = [["Tokens", done.words.replace(" %", "\u00a0%")], ...endFacts(done)];
  if (mean !== null) facts.push(["Log-prob.", `mean ${mean.toFixed(2).replace("-", "−")}\u00a0nats a token, under the aligned model`]);
  return facts;
}
