/* "Turn the alignment": the section below the two answers with the dial and, on demand, nudging. One for each turn. */

const KIND_WORDS = {
  logits: "At every token both models say how probable each next token is; the dial mixes the two.",
  adapter: "The tuned model is the base with an adapter; the dial scales the adapter. Both ends read the chat template, so 0 is the base under that template, not the base’s answer above.",
};

/* `offer` is what this turn's pair can do; null for a pair that is not known here, which the server then says. */
function createSteering(ask, offer, steer) {
  const el = make("section", { class: "uv-panel st-panel", "aria-label": "Turn the alignment" }, make("h3", { class: "uv-title" }, "Turn the alignment"));
  if (offer && offer.refusal) {
    el.append(make("p", { class: "st-lead" }, plainText(offer.refusal)));
    return { el, halt() {} };
  }
  const chosen = { kind: "logits", context: "urial" };
  const dial = createDial(() => ({ ...chosen, context: chosen.kind === "adapter" ? "zero_shot" : chosen.context }), (how, apply) => steer(ask, how, apply));
  const nudge = createNudge(() => chosen, (how, apply) => steer({ ...ask, temperature: 0, top_p: 1 }, how, apply));
  const kindWords = make("p", { class: "quiet st-lead" }, KIND_WORDS.logits);
  const context = contextChoice(ask, chosen, dial);
  el.append(
    make("p", { class: "st-lead" }, make("b", {}, "0: the base alone, 1: the tuned model."), " In between lies a mixture that nobody trained; above 1 the tuning is overdone. Move the slider and see which words change."),
    make("p", { class: "quiet st-lead" }, drawWords(ask)),
    make("div", { class: "st-line" }, kindChoice(offer, chosen, dial, kindWords, context), context),
    kindWords,
    dial.el,
    computation(),
    nudging(ask, nudge.el),
  );
  return { el, halt: () => (dial.halt(), nudge.halt()) };
}

function drawWords({ temperature, seed, aligned_method: alignedMethod }) {
  const how = temperature === 0 ? "Greedy: always the most probable token." : `Drawn at temperature ${temperature} with the same seed, ${seed}, at every amount.`;
  const asked = alignedMethod === "s2a" ? " System 2 Attention: the tuned model is asked here what it was asked above." : "";
  return `${how} These are new answers; the two above stay as they are.${asked}`;
}

function kindChoice(offer, chosen, dial, words, context) {
  if (!offer || offer.kinds.length < 2) return null;
  const pick = (kind) => {
    chosen.kind = kind;
    setText(words, KIND_WORDS[kind]);
    if (context) context.disabled = kind === "adapter";
    dial.show();
  };
  return createChoice("What is turned", [["logits", "both models’ words"], ["adapter", "the adapter’s weights"]], "logits", pick);
}

/* With a method that shows the question alone there is nothing to choose. */
function contextChoice(ask, chosen, dial) {
  if (ask.method === "zero_shot") return null;
  const pick = (context) => {
    chosen.context = context;
    dial.show();
  };
  return createChoice("The base sees", [["urial", "its prompt"], ["zero_shot", "only the question"]], "urial", pick);
}

function computation() {
  const lines = [
    ["At every token: ", make("code", {}, "log p = (1 − λ) · log p_base + λ · log p_aligned"), ", normalised over the whole vocabulary; λ is the amount. Each model reads the question in its own prompt, and both read the same answer so far."],
    ["Shifted: the share of tokens below number 3 on the base’s list. Declines: told by an answer’s opening words, a list of English phrases, which can be wrong both ways."],
    ["More, with the sources: docs/dial.md."],
  ];
  return make("details", { class: "st-fold" }, make("summary", {}, "How it is computed"), lines.map((line) => make("p", { class: "quiet" }, line)));
}

function nudging(ask, body) {
  const drawn = ask.temperature === 0 ? "" : " Greedy, although this comparison was drawn by chance.";
  return make(
    "details",
    { class: "st-fold st-nudging" },
    make("summary", {}, "Let the aligned model give single words"),
    make("p", { class: "st-lead" }, "The base writes; where the rule holds, the aligned model gives the token, and the base goes on from there. How few tokens does it take?"),
    make("p", { class: "quiet st-lead" }, `Each model’s first choice, and a new answer.${drawn}`),
    body,
  );
}
