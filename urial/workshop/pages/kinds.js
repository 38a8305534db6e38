/* The register of kinds for the pages: what a student does, what a student and the projector see at the reveal.

A kind: { start(mine) -> draft, open(view, draft, isOpen, changed, send) -> elements, answer(draft), isComplete(draft),
          revealed(view) -> elements, projected(view) -> elements, shown(view) -> elements }. */

import { aspectTable, guessedWords, guessers, heatWords, legend, lookAt, note, plainWords, tallyTable, tapWords, unveiled } from "./answers.js";
import { button, el, t } from "./common.js";
import { dial } from "./dial.js";

const CHOICES = ["a", "b", "tie", "bad"];

function simpleGuessers(reveal) {
  return [
    [t("guesser.class"), reveal.class],
    [t("guesser.first_words"), reveal.first_words],
    [t("guesser.opener"), reveal.opener],
  ];
}

const predict = {
  start: (mine) => ({ words: new Set(mine ? mine.words : []) }),
  answer: (draft) => ({ words: [...draft.words].sort((a, b) => a - b) }),
  isComplete: () => true,

  open(view, draft, isOpen, changed, send) {
    const count = el("span", { class: "quiet" });
    const counted = () => (count.textContent = t("tapped", { n: draft.words.size }));
    counted();
    const onTap = () => {
      counted();
      changed();
    };
    return [
      el("p", { class: "task" }, t("predict.task")),
      tapWords(view.question.words, draft.words, isOpen, onTap),
      el("div", { class: "bottom" }, count, isOpen ? button("hand_in", send, { class: "primary" }) : null),
    ];
  },

  revealed(view) {
    const { reveal } = view;
    const mine = view.mine ? view.mine.words : [];
    const rows = view.own ? [[t("guesser.you"), view.own], ...simpleGuessers(reveal)] : simpleGuessers(reveal);
    return [
      el("h2", {}, view.mine ? t("reveal.yours") : t("reveal.marks")),
      guessedWords(reveal.words, mine),
      legend("hit", "missed", "wrong"),
      guessers(rows),
      el("h2", {}, t("reveal.class")),
      heatWords(reveal.words, reveal.n),
      legend("heat heat4", "shifted"),
      note(reveal),
      lookAt(reveal),
    ];
  },

  projected: (view) => [el("p", { class: "task" }, t("predict.task")), plainWords(view.projected.words)],

  shown({ reveal }) {
    return [heatWords(reveal.words, reveal.n), legend("heat heat4", "shifted"), guessers(simpleGuessers(reveal)), note(reveal), lookAt(reveal)];
  },
};

function choices(name, chosen, isOpen, choose, isLarge) {
  const group = el("div", { class: isLarge ? "choices large" : "choices", role: "group", "aria-label": name });
  for (const choice of CHOICES) {
    const pressed = String(chosen === choice);
    group.append(el("button", { type: "button", disabled: !isOpen, "aria-pressed": pressed, click: () => choose(choice) }, t(`choice.${choice}`)));
  }
  return group;
}

function press(group, choice) {
  [...group.children].forEach((each, place) => each.setAttribute("aria-pressed", String(CHOICES[place] === choice)));
}

const vote = {
  start: (mine) => ({ choice: mine ? asSeen(mine, mine.winner) : null, aspects: mine ? aspectsSeen(mine) : {} }),
  answer: (draft) => draft,
  isComplete: (draft) => draft.choice !== null,

  open(view, draft, isOpen, changed, send) {
    const whole = choices(t("vote.whole"), draft.choice, isOpen, (choice) => {
      draft.choice = choice;
      press(whole, choice);
      changed();
      send();
    }, true);
    const lines = view.question.aspects.map((name) => {
      const group = choices(t(`aspect.${name}`), draft.aspects[name], isOpen, (choice) => {
        draft.aspects[name] = choice;
        press(group, choice);
        changed();
        if (draft.choice !== null) send();
      }, false);
      return el("div", { class: "aspect" }, el("span", {}, t(`aspect.${name}`)), group);
    });
    const card = (name) => el("section", { class: "card" }, el("h2", {}, t(`choice.${name}`)), el("div", { class: "answer", dir: "auto" }, view.question[name]));
    return [
      el("p", { class: "task" }, t("vote.task")),
      el("div", { class: "pair" }, card("a"), card("b")),
      lines.length ? el("div", { class: "aspects" }, el("h2", {}, t("aspects")), lines) : null,
      el("div", { class: "bottom" }, whole),
    ];
  },

  revealed(view) {
    const yours = view.own ? el("p", { class: "task" }, t(`yours.${view.own.winner}`, { side: t(`choice.${asSeen(view.own, view.own.winner)}`) })) : null;
    return [yours, ...vote.shown(view)];
  },

  projected: () => [el("p", { class: "task" }, t("vote.projected"))],

  shown({ reveal }) {
    const paper = el("p", { class: "quiet" }, t("tally.paper_note"));
    return [tallyTable(reveal.tally, reveal.paper), paper, aspectTable(reveal.aspects), unveiled(reveal), note(reveal), lookAt(reveal)];
  },
};

/* The side that won, as the student saw it: A or B. */
function asSeen(mine, winner) {
  if (winner === "tie" || winner === "bad") return winner;
  return mine.a === winner ? "a" : "b";
}

function aspectsSeen(mine) {
  return Object.fromEntries(Object.entries(mine.aspects).map(([name, winner]) => [name, asSeen(mine, winner)]));
}

export const KINDS = { predict, vote, dial };
