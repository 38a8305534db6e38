/* The form that opens a class: a title, items in their order, from ready sets, the gallery, or files of the teacher's. */

import { button, el, post, refusal, show, t, tell } from "./common.js";

const MOST = 60;
let shelf = null;
let chosen = []; // {kind, entry} or {kind, record, title}, each with a query to show; a dial has words and word too

export async function startForm(root, earlier, opened) {
  shelf = shelf || (await (await fetch("api/shelf")).json());
  const title = el("input", { name: "title", maxlength: "80", autocomplete: "off" });
  const aspects = el("input", { type: "checkbox", name: "aspects" });
  const list = el("ol", { class: "chosen" });
  const open = el("button", { type: "button", class: "primary" }, t("start.open"));
  const redraw = () => show(list, ...chosen.map((item, place) => line(item, place, redraw)));

  open.addEventListener("click", async () => {
    if (!chosen.length) return tell(t("start.none"), true);
    open.disabled = true;
    const items = chosen.map(({ kind, entry, record, title: own, word }) => (record ? { kind, record, title: own, word } : { kind, entry, word }));
    const found = await post("api/rooms", { title: title.value, items, aspects: aspects.checked }).catch(() => null);
    open.disabled = false;
    if (!found || !found.ok) return tell(found ? refusal(found.data) : t("offline"), true);
    chosen = [];
    tell("");
    return opened(found.data, title.value);
  });

  redraw();
  show(
    root,
    el("h1", {}, t("start.title")),
    el("p", { class: "lead" }, t("start.about")),
    earlier,
    el("section", { class: "card" }, el("label", {}, t("start.name"), title)),
    el("section", { class: "card" }, el("h2", {}, t("start.sets")), sets(redraw)),
    el("section", { class: "card" }, el("h2", {}, t("start.gallery")), gallery(redraw), el("h2", {}, t("start.files")), el("p", { class: "quiet" }, t("start.files.about")), files(redraw)),
    el("section", { class: "card" }, el("h2", {}, t("start.chosen")), list, el("label", { class: "check" }, aspects, t("start.aspects")), open),
  );
}

// Ready sets and the gallery

function sets(redraw) {
  return el(
    "ul",
    { class: "sets" },
    shelf.sets.map((each) =>
      el(
        "li",
        {},
        el("div", {}, el("strong", {}, t(`set.${each.id}`)), el("p", { class: "quiet" }, t(`set.${each.id}.about`))),
        button("start.take", async () => {
          const items = each.items.map((item) => ({ ...item, query: entryOf(item.entry).query }));
          const usable = await Promise.all(items.map((item) => item.kind !== "dial" || withWords(item)));
          chosen = items.filter((_, place) => usable[place]);
          redraw();
        }),
      ),
    ),
  );
}

const entryOf = (id) => shelf.entries.find((entry) => entry.id === id);

function gallery(redraw) {
  const lines = shelf.entries.map((entry) => adding(entry.query, entry.kinds, (kind) => ({ kind, entry: entry.id, query: entry.query }), redraw));
  const noDial = shelf.entries.every((entry) => entry.kinds.includes("dial")) ? null : el("p", { class: "quiet" }, t("start.dial.none"));
  return el("details", {}, el("summary", {}, t("start.gallery.open", { n: shelf.entries.length })), noDial, el("ul", { class: "offers" }, lines));
}

/* One comparison with a button for each kind that it can be asked as. */
function adding(query, kinds, make, redraw) {
  const buttons = kinds.map((kind) =>
    button(`start.add.${kind}`, async () => {
      if (chosen.length >= MOST) return tell(t("refused.items", { most: MOST }), true);
      const item = make(kind);
      if (kind === "dial" && !(await withWords(item))) return undefined;
      chosen.push(item);
      tell("");
      return redraw();
    }, { class: "small", "aria-label": `${t(`start.add.${kind}`)}: ${query.slice(0, 80)}` }),
  );
  return el("li", {}, el("bdi", {}, query), el("span", { class: "row" }, buttons));
}

/* A dial's item with the words that it can be about; whether there are any. */
async function withWords(item) {
  const { entry, record } = item;
  const found = await post("api/words", record ? { record } : { entry }).catch(() => null);
  if (found && found.ok) Object.assign(item, found.data);
  else tell(found ? refusal(found.data) : t("offline"), true);
  return Boolean(found && found.ok);
}

// Files: a saved comparison (JSON) or a recorded corpus (records.jsonl); only what is chosen is sent

function files(redraw) {
  const list = el("ul", { class: "offers" });
  const input = el("input", { type: "file", accept: ".json,.jsonl", multiple: true, "aria-label": t("start.files") });
  input.addEventListener("change", async () => {
    for (const file of input.files) {
      const found = readRecords(await file.text());
      if (!found.length) tell(t("start.files.wrong", { name: file.name }), true);
      for (const record of found) {
        const made = (kind) => ({ kind, record, title: file.name, query: String(record.query) });
        list.append(adding(String(record.query), ["predict", "vote", "dial"], made, redraw));
      }
    }
    input.value = "";
  });
  return el("div", {}, input, list);
}

function readRecords(text) {
  const isRecord = (each) => each && each.schema === "urial.comparison/1";
  try {
    return [JSON.parse(text)].filter(isRecord);
  } catch (error) {
    return text.split("\n").map(parsed).filter(isRecord);
  }
}

function parsed(line) {
  try {
    return JSON.parse(line);
  } catch (error) {
    return null; // an empty last line, or one that a crash cut
  }
}

// What is chosen, in its order

function line(item, place, redraw) {
  const move = (by) => () => {
    chosen.splice(place + by, 0, ...chosen.splice(place, 1));
    redraw();
  };
  const remove = () => {
    chosen.splice(place, 1);
    redraw();
  };
  return el(
    "li",
    {},
    el("span", {}, el("strong", {}, t(`kind.${item.kind}`)), " ", el("bdi", {}, item.query), item.kind === "dial" ? wordChoice(item) : null),
    el(
      "span",
      { class: "row" },
      button("start.up", move(-1), { class: "small", disabled: place === 0 }),
      button("start.down", move(1), { class: "small", disabled: place === chosen.length - 1 }),
      button("start.remove", remove, { class: "small" }),
    ),
  );
}

function wordChoice(item) {
  const options = item.words.map(([number, text]) => el("option", { value: String(number) }, text));
  const select = el("select", {}, options);
  select.value = String(item.word);
  select.addEventListener("change", () => (item.word = Number(select.value)));
  return el("label", { class: "word-choice" }, t("start.dial.word"), " ", select);
}
