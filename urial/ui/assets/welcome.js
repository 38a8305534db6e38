/* Before the first question: a recorded comparison, and what its marks mean. Nothing is computed for it; the first
   question takes its place. */

const MARKS = [
  ["uv-c-u", "word", "unmarked", "the base model would have written it too"],
  ["uv-c-m", "word", "dotted", "its second or third choice"],
  ["uv-c-s", "word", "underlined", "tuning put it there; the number is its place on the base’s list"],
];

async function createWelcome(place, ask) {
  const found = await ask("gallery_open", { entry: 0, turn: 0 });
  if (found.error) return; // no recordings: the form stands alone
  const body = make("div");
  const title = make("h2", { dir: "auto" }, plainText(found.record.query));
  const said = make("p", { class: "quiet" }, "A recorded example, nothing was computed just now. Point at a word or tap it; then ask your own question above.");
  place.append(said, title, markList(), body);
  window.UrialView.mount(body, { theme: "host", actions: [], continuation: false, visit: false, comparison: found.record });
}

function markList() {
  const items = MARKS.map(([style, sample, name, meaning]) => {
    const number = style === "uv-c-s" ? make("sup", { class: "uv-number" }, "12") : [];
    return make("li", null, make("span", { class: `uv-mark ${style}`, "aria-hidden": "true" }, sample, number), " ", make("b", null, name), `: ${meaning}`);
  });
  return make("div", { class: "urial-view", "data-theme": "host" }, make("ul", { class: "marks" }, items));
}
