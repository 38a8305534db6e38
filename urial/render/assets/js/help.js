/* How to read the view and how to move in it, in five lines. Knows nothing about comparisons. */

const HELP = [
  [["Point"], "at a token for its numbers; click or tap it for its card."],
  [["Tab"], "into the answer, then walk with the arrow keys, Home and End."],
  [["n", "p"], "go to the next and the previous shifted token."],
  [["Enter"], "opens the card, Escape closes it."],
];

function createHelp() {
  const lines = HELP.map(([keys, text]) => h("li", null, keys.map((key) => [h("kbd", null, key), " "]), text));
  return h("section", { class: "uv-panel" }, h("h3", { class: "uv-title" }, "How to read it"), h("p", { class: "uv-help-text" }, READING), h("ul", { class: "uv-help" }, lines));
}

const READING =
  "Unmarked words (unshifted) are the base’s first choice: it would have said them too. Dotted ones (marginal) are its second or third. " +
  "Underlined ones (shifted) are a lower choice; the small number says which.";
