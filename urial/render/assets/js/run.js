/* "What exactly was run": prompts in full, models, settings, timings, and the command that does it again. */

function createRun(store) {
  const panel = folded("What exactly was run", "prompts, models, settings, command", (body) => buildRun(store, body));
  function update(topics) {
    panel.el.hidden = !store.meta || !store.meta.pair;
    if (topics.has("meta") || topics.has("sides")) panel.invalidate();
  }
  return { el: panel.el, update };
}

function buildRun(store, body) {
  const { meta } = store;
  const facts = runFacts(store);
  const all = () => runText(store, facts);
  const table = h("dl", { class: "uv-run" }, facts.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, h("bdi", null, value)))));
  const command = meta.command && textBlock("The command that does this again", "", meta.command);
  replace(body, table, h("p", null, copyButton("Copy all of this", all)), command, promptBlocks(store));
}

/* [name, value] pairs; values are shown as text. */
function runFacts(store) {
  const { pair, settings } = store.meta;
  const revision = (side) => (pair.revisions && pair.revisions[side] ? ` @ ${visible(pair.revisions[side])}` : "");
  const facts = [
    ["pair", visible(pair.name)],
    ["base", visible(pair.base) + revision("base")],
    ["aligned", visible(pair.aligned) + revision("aligned")],
    ["numbers in", `${pair.dtype}${pair.quantization ? `, weights in ${pair.quantization}` : ""}, on ${visible(pair.device)}`],
  ];
  if (settings) facts.push(...settingFacts(store, settings));
  const { rewrite } = store.meta;
  if (rewrite) facts.push(["aligned is asked", rewrite.fallback || "its own rewrite of the question, without opinion and distraction (System 2 Attention)"]);
  for (const side of ["base", "aligned"]) facts.push([`${side} answer`, sideFact(store, side)]);
  if (store.labels) facts.push(["safety labels", labelsText(store.labels)]);
  const exact = heldContexts(store).map((name) => store.contexts[name].exact);
  if (exact.length) facts.push(["shift", exact.every(Boolean) ? "exact, over the full vocabulary" : "bounded from the head of each list"]);
  return facts;
}

/* Decoding once where both sides share it, by side where one was drawn again. */
function settingFacts(store, settings) {
  const [base, aligned] = ["base", "aligned"].map((name) => decodingOf(store, name));
  const facts = [["base is prompted with", methodName(settings)]];
  if (store.sides.base.settings || store.sides.aligned.settings) {
    for (const [name, own] of Object.entries({ base, aligned })) facts.push([`${name} decoding`, `${decodingText(own)}, seed ${own.seed}`]);
  } else facts.push(["decoding", decodingText(settings)], ["seed", String(settings.seed)]);
  facts.push(["repetition penalty", `base ${base.repetition_penalty}, aligned ${aligned.repetition_penalty}`]);
  return facts;
}

function decodingText({ temperature, top_p, max_new_tokens }) {
  const decoding = temperature === 0 ? "greedy (temperature 0)" : `sampled, temperature ${temperature}, top-p ${top_p}`;
  return `${decoding}, at most ${plural(max_new_tokens, "token")}`;
}

function sideFact(store, name) {
  const side = store.sides[name];
  if (!side || !side.stop_reason) return "not finished";
  const speed = side.tokens_per_second ? `, ${side.tokens_per_second.toFixed(1)} tokens/s` : "";
  const first = side.first_token_seconds === null ? "" : `, first token after ${seconds(side.first_token_seconds)}`;
  return `${lengthText(store, name)} in ${seconds(side.seconds)}${first}${speed}, stopped ${STOP_NAMES[side.stop_reason]}`;
}

/* Every text that a model was given: [title, tokens, text]. A context that equals the base's prompt is not repeated. */
function runPrompts(store) {
  const { base, aligned } = store.sides;
  const names = contextNames(store.meta.settings);
  const prompts = [["The base’s prompt", base.prompt_tokens, base.prompt], ["The aligned model’s prompt", aligned.prompt_tokens, aligned.prompt]];
  const { rewrite } = store.meta;
  if (rewrite) prompts.splice(1, 0, ["The aligned model’s first call: rewrite the question", rewrite.tokens, rewrite.prompt], ["What that call wrote", 0, rewrite.text]);
  for (const name of CONTEXTS) {
    const context = store.contexts[name];
    if (!context || context.context === null || context.context === base.prompt) continue;
    prompts.push([`What the base saw when it scored with ${names[name]} in sight`, context.context_tokens, context.context]);
  }
  return prompts.filter(([, , text]) => text !== undefined && text !== null);
}

function promptBlocks(store) {
  return runPrompts(store).map(([title, tokens, text]) => textBlock(title, tokens ? plural(tokens, "token") : "", text));
}

function textBlock(title, hint, text) {
  const label = h("h4", null, title, " ", h("span", { class: "uv-soft" }, hint));
  const block = h("pre", { class: "uv-pre", tabindex: "0", role: "region", "aria-label": title }, visible(text));
  return h("div", { class: "uv-text-block" }, h("div", { class: "uv-block-head" }, label, copyButton("Copy", () => text)), block);
}

function runText(store, facts) {
  const lines = facts.map(([name, value]) => `${name}: ${value}`);
  const prompts = runPrompts(store).map(([title, tokens, text]) => `--- ${title}${tokens ? ` (${tokens} tokens)` : ""}\n${text}`);
  return [...lines, "", store.meta.command || "", "", ...prompts].join("\n").replaceAll(NBSP, " ");
}
