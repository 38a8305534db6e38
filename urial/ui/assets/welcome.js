/* Before the first question: a recorded comparison, and what its marks mean. Nothing is computed for it; the first
   question takes its place. */

/* How a mark looks, in a word that looks so; the name that the counts have for it; what both mean. */
const MARKS = [
  ["uv-c-u", "unmarked", "unshifted", ", the base’s first choice: it would have written this too"],
  ["uv-c-m", "dotted", "marginal", ", its second or third choice"],
  ["uv-c-s", "underlined", "shifted", ", a lower choice (the small number says which): tuning put it there"],
];

async function createWelcome(place, ask, factsOf) {
  const found = await ask("gallery_open", { entry: 0, turn: 0 });
  if (found.error) return; // no recordings: the form stands alone
  const body = make("div");
  const title = make("h2", { dir: "auto" }, plainText(found.record.query));
  const said = make("p", { class: "quiet" }, "A recorded example; nothing was computed now. Tap or point at a word, then ask your own.");
  place.append(said, title, markList(), body);
  const view = window.UrialView.mount(body, { theme: "host", actions: [], continuation: false, visit: false, comparison: found.record });
  view.element.querySelector(".uv-columns").after(createSizeNote(factsOf(found.record.pair.name).billions));
}

function markList() {
  const items = MARKS.map(([style, look, name, meaning]) => {
    const number = style === "uv-c-s" ? make("sup", { class: "uv-number", "aria-hidden": "true" }, "12") : [];
    return make("li", null, make("span", { class: `uv-mark ${style}` }, look, number), ": ", make("b", null, name), meaning);
  });
  return make("div", { class: "urial-view", "data-theme": "host" }, make("ul", { class: "marks" }, items));
}
