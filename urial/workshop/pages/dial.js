/* Turn the dial: one word is marked, a slider says how much of the alignment it needs. Nought: it was there already. */

import { lookAt, rankOf, wordy } from "./answers.js";
import { button, el, percent, points, t, wholePercent } from "./common.js";

const START = 50; // where the slider stands before it is touched

export const dial = {
  start: (mine) => ({ percent: mine ? mine.percent : null }),
  answer: (draft) => ({ percent: draft.percent }),
  isComplete: (draft) => draft.percent !== null,

  open(view, draft, isOpen, changed, send) {
    const { words, word } = view.question;
    const read = el("output", { class: "dial-value" });
    const slider = el("input", { type: "range", min: "0", max: "100", step: "1", disabled: !isOpen, "aria-label": t("dial.slider") });
    const already = el("button", { type: "button", disabled: !isOpen }, t("dial.already"));
    const sent = isOpen ? button("hand_in", send, { class: "primary" }) : null;
    slider.value = draft.percent ?? START;

    const draw = () => {
      const isSet = draft.percent !== null;
      read.textContent = isSet ? wholePercent(draft.percent / 100) : "–";
      slider.setAttribute("aria-valuetext", isSet ? read.textContent : t("dial.unset"));
      already.setAttribute("aria-pressed", String(draft.percent === 0));
      if (sent) sent.disabled = !isSet;
    };
    const set = (value) => {
      draft.percent = value;
      draw();
      changed();
    };
    slider.addEventListener("input", () => set(Number(slider.value)));
    slider.addEventListener("click", () => set(Number(slider.value))); // a press on the place where it stands is a guess too
    already.addEventListener("click", () => {
      slider.value = 0;
      set(0);
    });
    draw();
    const scale = el("div", { class: "dial-scale", "aria-hidden": "true" }, el("span", {}, t("dial.base")), el("span", {}, t("dial.aligned")));
    return [
      el("p", { class: "task" }, t("dial.task")),
      marked(words, word),
      el("div", { class: "bottom dial" }, el("div", { class: "dial-row" }, slider, read), scale, already, sent),
    ];
  },

  revealed(view) {
    const yours = view.own ? el("p", { class: "task" }, t("dial.yours", { guess: wholePercent(view.own.guess), points: points(view.own.error) })) : null;
    return [yours, ...shown(view, view.own ? [[t("guesser.you"), view.own.guess, view.own.error]] : [])];
  },

  projected: (view) => [el("p", { class: "task" }, t("dial.task")), marked(view.projected.words, view.projected.word)],

  shown: (view) => shown(view, []),
};

/* The answer with the one word that is asked about; its rank at the reveal. */
function marked(words, asked, rank = null) {
  return wordy(words, (word, number) => (number === asked ? el("mark", { class: "asked" }, word, rank === null ? null : rankOf(rank)) : word));
}

function shown({ reveal }, own) {
  return [
    truth(reveal),
    marked(reveal.words, reveal.word, reveal.rank),
    histogram(reveal, own.length ? own[0][1] : null),
    errors([...own, [t("guesser.each"), reveal.mean_guess, reveal.mean_error], [t("guesser.middle"), 0.5, reveal.middle_error]]),
    el("p", { class: "quiet" }, t(`dial.context.${reveal.context}`)),
    lookAt(reveal),
  ];
}

function truth(reveal) {
  const word = reveal.words[reveal.word][0].trim();
  const text = reveal.needed > 0 ? t("dial.truth", { word, share: percent(reveal.needed) }) : t("dial.truth.none", { word });
  return el("p", { class: "dial-truth", dir: "auto" }, text);
}

/* The class's guesses: bars that are a table. Ten of the bins are named by their upper end. */
function histogram(reveal, guess) {
  const most = Math.max(1, ...reveal.bins);
  const mine = guess === null ? -1 : Math.ceil(10 * guess);
  const rows = reveal.bins.map((count, number) => {
    const bar = el("span", { class: "bar base", "aria-hidden": "true" });
    bar.style.setProperty("--share", count / most);
    const notes = [number === reveal.needed_bin ? t("dial.here") : null, number === mine ? t("dial.mine") : null].filter(Boolean).join(", ");
    const name = number ? t("dial.bin.upto", { share: wholePercent(number / 10) }) : t("dial.bin.none");
    return el(
      "tr",
      { class: number === reveal.needed_bin ? "true-bin" : null },
      el("th", { scope: "row" }, name),
      el("td", {}, String(count)),
      el("td", { class: "share" }, count ? bar : null, notes ? el("small", {}, notes) : null),
    );
  });
  const head = el("tr", {}, el("th", { scope: "col" }, t("dial.guess")), el("th", { scope: "col" }, t("dial.students")), el("td", {}));
  return el("table", { class: "figures histogram" }, el("caption", {}, t("dial.histogram", { n: reveal.n })), el("thead", {}, head), el("tbody", {}, rows));
}

function errors(rows) {
  const head = el("tr", {}, ["table.guesser", "dial.guess", "dial.error"].map((name) => el("th", { scope: "col" }, t(name))));
  const lines = rows.map(([who, guess, error]) => el("tr", {}, el("th", { scope: "row" }, who), el("td", {}, percent(guess)), el("td", {}, points(error))));
  return el("table", { class: "figures" }, el("caption", {}, t("dial.errors")), el("thead", {}, head), el("tbody", {}, lines));
}
