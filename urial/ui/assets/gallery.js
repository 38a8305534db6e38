/* The Gallery: a list of recordings; one opens in a token view, turn by turn. And the picture of the Learn tab. */

function createGallery(place, ask, askYourself, factsOf) {
  const list = make("ul", { class: "shelf" });
  const shown = make("div", { class: "shown", hidden: true });
  place.append(list, shown);
  let view = null;

  async function fill() {
    const found = await ask("gallery_list", {});
    if (found.error || !found.entries.length) {
      list.replaceChildren(make("li", { class: "quiet" }, plainText(found.error || "No recordings are here yet.")));
      return;
    }
    list.replaceChildren(...found.entries.map((entry, index) => make("li", null, card(entry, index))));
    const index = found.entries.findIndex((entry) => entryName(entry) === addressed("entry"));
    if (index < 0 || addressed("tab") !== "gallery") return;
    const turns = found.entries[index].queries.length;
    show(found.entries[index], index, Math.min(turns, Math.max(1, Number(addressed("turn")) || turns)) - 1);
  }

  function card(entry, index) {
    const share = typeof entry.shifted === "number" ? `${(100 * entry.shifted).toFixed(1)} % shifted` : "";
    const facts = [entry.topic, entry.queries.length > 1 ? `${entry.queries.length} turns` : "", share].filter(Boolean).join(" · ");
    const open = () => show(entry, index, entry.queries.length - 1);
    return make(
      "button",
      { type: "button", class: "shelf-card", "data-entry": String(index), on: { click: open } },
      make("span", { class: "shelf-title", dir: "auto" }, plainText(entry.title)),
      make("span", { class: "shelf-facts" }, plainText(facts)),
      make("span", { class: "shelf-look", dir: "auto" }, make("b", null, "Look at: "), plainText(entry.look_at)),
    );
  }

  async function show(entry, index, turn) {
    const found = await ask("gallery_open", { entry: index, turn });
    shown.hidden = false;
    list.hidden = true;
    setAddress({ tab: "gallery", entry: entryName(entry), turn: entry.queries.length > 1 ? turn + 1 : null });
    const back = button("← All recordings", close, { class: "pg-button shelf-back" });
    const own = button("Ask this yourself", () => askYourself(entry.queries[turn]), { class: "pg-button" });
    const body = make("div");
    const turns = entry.queries.length > 1 ? entry.queries.map((_, other) => turnButton(entry, index, other, turn)) : [];
    const head = make("div", { class: "shown-head" }, back, turns, own);
    const title = make("h2", { class: "shown-query", dir: "auto", tabindex: "-1" }, plainText(entry.queries[turn]));
    const look = make("p", { class: "shown-look", dir: "auto" }, make("b", null, "Look at: "), plainText(entry.look_at));
    const note = make("p", { class: "quiet" }, `Recorded ${plainText(when(entry.recorded_at))}; nothing was computed just now.`);
    shown.replaceChildren(head, title, look, note, body);
    title.focus({ preventScroll: true });
    if (view) view.destroy();
    view = null;
    if (found.error) body.append(make("div", { class: "notice", role: "alert" }, plainText(found.error)));
    else view = showRecording(body, found.record);
  }

  function showRecording(body, record) {
    body.append(createSizeNote(factsOf(record.pair.name).billions));
    return addressView(window.UrialView.mount(body, { theme: "host", actions: [], continuation: false, visit: false, comparison: record }));
  }

  function turnButton(entry, index, other, turn) {
    return button(`Turn ${other + 1}`, () => show(entry, index, other), { "aria-pressed": String(other === turn) });
  }

  function close() {
    if (view) view.destroy();
    view = null;
    shown.hidden = true;
    list.hidden = false;
    setAddress({ entry: null, turn: null });
    list.querySelector("button").focus();
  }

  fill();
}

/* A recording's name in the address. */
function entryName(entry) {
  return entry.title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");
}

/* The first recording, as the picture beside the explanation. */
async function createPicture(place, ask) {
  const found = await ask("gallery_open", { entry: 0, turn: 0 });
  if (found.error) return;
  place.append(make("p", { class: "quiet" }, "A recorded answer, to try it on: point at a word, or walk with the arrow keys."));
  window.UrialView.mount(place, { theme: "host", actions: [], continuation: false, visit: false, showQuery: true, comparison: found.record });
}
