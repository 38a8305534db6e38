/* The dial: the answer at any amount of alignment. Nothing is computed before the visitor asks; what is computed is kept. */

const PLACES = [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5];
const FIRST_PLACES = PLACES.slice(0, 5); // what the button asks for: they share each reading of the weights
const PLACE_NAMES = ["the base alone", "a quarter of the tuning", "half of the tuning", "three quarters of the tuning", "the tuned model", "a quarter more than the tuning", "half as much again as the tuning"];
const SETTLE = 350; // milliseconds that a slider rests before an answer is asked for

const placeWords = (at) => `${at}: ${PLACE_NAMES[PLACES.indexOf(at)]}`;
const listed = (places) => (places.length < 2 ? `${places[0]}` : `${places.slice(0, -1).join(", ")} and ${places[places.length - 1]}`);

/* `choice()` gives {kind, context}; answers of different choices are kept apart. */
function createDial(choice, steer) {
  const kept = new Map(); // choice -> Map of place -> {text, tokens, facts}; facts are null while it is written
  const slider = createSlider("Amount of alignment", PLACES, 0.5, spokenPlace, { input: show, change: settle });
  const ticks = PLACES.map((at) => make("span", { class: "st-tick", on: { click: () => jump(at) } }, make("b", {}, String(at)), make("span", {}, { 0: "base", 1: "tuned" }[at] || ""), make("small", {}, "")));
  const caption = make("p", { class: "quiet st-caption", "aria-hidden": "true" });
  const answer = createSteeredAnswer("The answer at this amount");
  const run = createSteerRun("Turn the alignment", steer, { begin, heard, changed });
  const el = make("div", { class: "st-dial" });
  el.append(make("div", { class: "st-scale" }, slider.el, make("div", { class: "st-ticks", "aria-hidden": "true" }, ticks), caption));
  el.append(make("div", { class: "st-line" }, run.buttons, run.status), run.problem, answer.el);
  let written = null; // of the run that goes on: {at: places, held}
  let rest = null;

  function held() {
    const key = JSON.stringify(choice());
    if (!kept.has(key)) kept.set(key, new Map());
    return kept.get(key);
  }
  const isWhole = (one) => Boolean(one && one.facts && ["stop", "length"].includes(one.facts.stop_reason));
  const missing = (places) => places.filter((at) => !isWhole(held().get(at)));
  const lowerOf = (at) => PLACES.slice(0, PLACES.indexOf(at)).findLast((place) => held().has(place));

  function begin() {
    ask(missing(PLACES.filter((at) => FIRST_PLACES.includes(at) || at === slider.value())));
  }

  /* With the place below it, so that what changed can be marked. A run that goes on is let end first. */
  function settle() {
    clearTimeout(rest);
    rest = setTimeout(() => {
      const place = PLACES.indexOf(slider.value());
      if (!run.isRunning() && !held().has(PLACES[place])) ask(missing(PLACES.slice(Math.max(0, place - 1), place + 1)));
      show();
    }, SETTLE);
  }

  function jump(at) {
    slider.set(at);
    show();
    settle();
  }

  function ask(places) {
    if (!places.length || run.isRunning()) return;
    const { kind, context } = choice();
    written = { at: places, held: held() };
    for (const at of places) written.held.set(at, { text: "", tokens: 0, facts: null });
    run.go({ at: places, kind, context }, `Writing at ${listed(places)}…`);
    show();
  }

  function heard(name, argument) {
    const one = (index) => written.held.get(written.at[index]);
    if (name === "steerStart") written.at = argument.at;
    if (name === "dialDone") one(argument.index).facts = argument;
    if (name === "dialAppend") {
      for (const [index, { text, tokens }] of Object.entries(argument)) {
        one(index).text += text;
        one(index).tokens += tokens;
      }
    }
    show();
  }

  /* A refused run leaves nothing; then the place that was chosen meanwhile has its turn. */
  function changed() {
    for (const at of written.at) if (!written.held.get(at).facts) written.held.delete(at);
    const isRefused = !run.problem.hidden;
    written = null;
    show();
    if (!isRefused && !held().has(slider.value()) && held().size) settle();
  }

  function spokenPlace(at) {
    const one = held().get(at);
    const said = !one ? "not written yet" : one.facts ? `written, ${lengthOf(one.tokens, one.facts.ends)}, ${percent(one.facts.shifted)} shifted` : "being written";
    return `${placeWords(at)}; ${said}`;
  }

  function show() {
    const at = slider.value();
    slider.show();
    run.allow(!run.isRunning() && missing(FIRST_PLACES).length > 0);
    ticks.forEach((tick, index) => showTick(tick, held().get(PLACES[index]), PLACES[index] === at));
    setText(caption, held().size ? "Percentages: how many of its tokens are shifted." : "");
    const one = held().get(at);
    if (!one) return run.isRunning() || held().size ? answer.show({ title: placeWords(at), note: run.isRunning() ? "Written when the answers on their way are there." : "Not written yet.", parts: [], facts: [] }) : answer.hide();
    return answer.show({ title: placeWords(at), ...compared(one, lowerOf(at)), facts: placeFacts(one) });
  }

  /* The text with what changed against the place below. */
  function compared(one, below) {
    const lower = below === undefined ? null : held().get(below);
    const pieces = lower ? changesOf(one.text, lower.text) : [[one.text, false]];
    return { parts: markedParts(pieces, "ins", "st-new"), note: changeWords(pieces, one, lower, below) };
  }

  show();
  return { el, show, halt: () => (clearTimeout(rest), run.halt()) };
}

function changeWords(pieces, one, lower, below) {
  if (!lower) return "The lowest amount that is written: nothing below it to compare with.";
  if (!one.facts || !lower.facts) return `Underlined: not in the answer at ${below}, as far as both are written.`;
  const words = pieces.filter(([piece]) => !isSpace(piece));
  const count = words.filter(([, isNew]) => isNew).length;
  if (one.text === lower.text) return `Word for word the answer at ${below}.`;
  if (!count) return `Nothing that is not in the answer at ${below} too; that one says more.`;
  return `Underlined: ${count} of ${words.length} words and signs that are not in the answer at ${below}.`;
}

function placeFacts({ tokens, facts }) {
  if (!facts) return [["Length", `${tokensOf(tokens)} so far`]];
  return [["Shifted", `${percent(facts.shifted)} of ${tokensOf(facts.counted)}`], ["Length", lengthOf(tokens, facts.ends)], ...endFacts(facts)];
}

/* The share is over tokens that are no end token: said apart, so that both counts agree. */
function lengthOf(tokens, ends) {
  return ends ? `${tokensOf(tokens - ends)} + end token` : tokensOf(tokens);
}

function showTick(tick, one, isHere) {
  tick.classList.toggle("st-here", isHere);
  tick.classList.toggle("st-written", Boolean(one));
  setText(tick.lastElementChild, !one ? "" : one.facts ? percent(one.facts.shifted, 0) : "…");
}
