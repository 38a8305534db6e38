/* Answers and what was said about them, the same for a phone and a projector: words, marks, tallies. */

import { el, language, percent, t } from "./common.js";

/* A question with its earlier turns. */
export function question(item) {
  const earlier = item.history.map((turn) => el("p", { class: "earlier" }, turn.content));
  return el(
    "div",
    { class: "question" },
    earlier.length ? el("details", {}, el("summary", {}, t("earlier")), earlier) : null,
    el("h1", { dir: "auto" }, item.query),
  );
}

/* White space before a word, the word, white space behind it. */
function parts(text) {
  const [, before, word, after] = text.match(/^(\s*)([\s\S]*?)(\s*)$/);
  return { before, word, after };
}

/* The answer as words; `make(word, number)` gives the element of each. */
export function wordy(words, make) {
  const box = el("div", { class: "answer", dir: "auto" });
  words.forEach(([text, isWord, ...facts], number) => {
    if (!isWord) return box.append(text);
    const { before, word, after } = parts(text);
    return box.append(before, make(word, number, facts), after);
  });
  return box;
}

/* Words to tap; `tapped` is a set of numbers, `changed` is called after each tap. */
export function tapWords(words, tapped, isOpen, changed) {
  return wordy(words, (word, number) => {
    const pressed = () => made.setAttribute("aria-pressed", String(tapped.has(number)));
    const made = el("button", { type: "button", class: "word", disabled: !isOpen }, word);
    made.addEventListener("click", () => {
      if (!tapped.delete(number)) tapped.add(number);
      pressed();
      changed();
    });
    pressed();
    return made;
  });
}

export function plainWords(words) {
  return wordy(words, (word) => word);
}

const hidden = (key) => el("span", { class: "sr" }, ` (${t(key)})`);

/* A student's guess over the true marks. */
export function guessedWords(words, mine) {
  const tapped = new Set(mine);
  return wordy(words, (word, number, [isShifted, rank]) => {
    if (isShifted && tapped.has(number)) return el("mark", { class: "hit" }, word, rankOf(rank), hidden("mark.hit"));
    if (isShifted) return el("mark", { class: "missed" }, word, rankOf(rank), hidden("mark.missed"));
    if (tapped.has(number)) return el("mark", { class: "wrong" }, word, hidden("mark.wrong"));
    return word;
  });
}

/* The class's guesses as a heat map over the true marks: five grades, and how many tapped. */
export function heatWords(words, n) {
  return wordy(words, (word, number, [isShifted, rank, count]) => {
    if (!count && !isShifted) return word;
    const grade = n ? Math.ceil((5 * count) / n) : 0;
    const name = `heat heat${grade}${isShifted ? " shifted" : ""}`;
    const said = t("heat.says", { n: count, of: n });
    return el("mark", { class: name, title: said }, word, isShifted ? rankOf(rank) : null, el("span", { class: "sr" }, ` (${said})`));
  });
}

export function rankOf(rank) {
  const number = new Intl.NumberFormat(language).format(rank);
  return el("sub", {}, el("span", { "aria-hidden": "true" }, number), el("span", { class: "sr" }, ` (${t("mark.rank", { rank })})`));
}

export function legend(...names) {
  return el("p", { class: "legend" }, names.map((name) => el("span", {}, el("mark", { class: name }, t(`legend.${name.split(" ")[0]}`)))));
}

/* Precision and recall of several guessers: rows of [title, score]. */
export function guessers(rows) {
  const head = el("tr", {}, ["guesser", "precision", "recall"].map((name) => el("th", { scope: "col" }, t(`table.${name}`))));
  const lines = rows.map(([title, score]) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, title),
      el("td", {}, `${percent(score.precision)} `, el("small", {}, t("table.of", { hits: score.hits, all: score.tapped }))),
      el("td", {}, `${percent(score.recall)} `, el("small", {}, t("table.of", { hits: score.hits, all: score.shifted }))),
    ),
  );
  return el("table", { class: "figures" }, el("caption", {}, t("table.caption")), el("thead", {}, head), el("tbody", {}, lines));
}

/* The aligned answer with the overlay: each token's class and rank. */
export function overlay(tokens, text) {
  if (!tokens.length) return el("div", { class: "answer", dir: "auto" }, text);
  const box = el("div", { class: "answer", dir: "auto" });
  for (const [token, kind, rank] of tokens) {
    if (kind === "unshifted" || !token.trim()) {
      box.append(token);
      continue;
    }
    const { before, word, after } = parts(token);
    box.append(before, el("mark", { class: kind }, word, kind === "shifted" ? rankOf(rank) : null), after);
  }
  return box;
}

const OUTCOMES = ["base", "tie", "bad", "aligned"];

/* A tally with Wilson intervals beside the paper's human result. */
export function tallyTable(tally, paper) {
  const head = ["outcome", "votes", "share", "interval", paper ? "paper" : null].filter(Boolean);
  const rows = OUTCOMES.map((name) => {
    const { count, share, interval } = tally.outcomes[name];
    const bar = el("span", { class: `bar ${name}`, "aria-hidden": "true" });
    bar.style.setProperty("--share", share ?? 0);
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, t(`outcome.${name}`)),
      el("td", {}, String(count)),
      el("td", { class: "share" }, percent(share), bar),
      el("td", {}, interval ? `${percent(interval[0])} – ${percent(interval[1])}` : "–"),
      paper ? el("td", {}, name in paper ? percent(paper[name]) : "–") : null,
    );
  });
  return el(
    "table",
    { class: "figures tally" },
    el("caption", {}, t("tally.caption", { n: tally.n })),
    el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, t(`tally.${name}`))))),
    el("tbody", {}, rows),
  );
}

/* Each aspect in a line: how often either side was better. */
export function aspectTable(aspects) {
  const names = Object.keys(aspects);
  if (!names.length) return null;
  const head = el("tr", {}, [el("th", { scope: "col" }, t("aspect")), ...OUTCOMES.map((name) => el("th", { scope: "col" }, t(`outcome.${name}`)))]);
  const rows = names.map((name) =>
    el("tr", {}, el("th", { scope: "row" }, t(`aspect.${name}`)), OUTCOMES.map((each) => el("td", {}, percent(aspects[name].outcomes[each].share)))),
  );
  return el("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": t("aspects") }, el("table", { class: "figures" }, el("caption", {}, t("aspects")), el("thead", {}, head), el("tbody", {}, rows)));
}

/* Both answers with their names. */
export function unveiled(reveal) {
  const method = reveal.method === "zero_shot" ? t("name.bare") : t("name.prompted");
  return el(
    "div",
    { class: "pair" },
    el("section", {}, el("h2", {}, t("name.base"), el("small", {}, ` ${reveal.base_name} · ${method}`)), el("div", { class: "answer", dir: "auto" }, reveal.base)),
    el("section", {}, el("h2", {}, t("name.aligned"), el("small", {}, ` ${reveal.aligned_name}`)), overlay(reveal.tokens, reveal.aligned), reveal.tokens.length ? legend("marginal", "shifted") : null),
  );
}

export function note(reveal) {
  const lines = [];
  if (reveal.context) lines.push(t(`context.${reveal.context}`));
  if (reveal.context && !reveal.exact) lines.push(t("approximate"));
  return lines.length ? el("p", { class: "quiet" }, lines.join(" ")) : null;
}

export function lookAt(reveal) {
  return reveal.look_at ? el("p", { class: "look-at", lang: "en" }, reveal.look_at) : null;
}
