/* What the address says, and what this browser remembers: the tab, the opened recording, the last comparisons by their
   names at the server. Knows nothing of what they hold. */

const TAB_NAMES = ["compare", "gallery", "corpus", "learn"];
const KEPT_HERE = "urial.kept/1"; // the name in the browser's store
const MOST_KEPT = 10;

/* Values of null leave the address. */
function setAddress(values) {
  const link = new URL(window.location.href);
  const before = link.href;
  for (const [name, value] of Object.entries(values)) {
    if (value === null) link.searchParams.delete(name);
    else link.searchParams.set(name, value);
  }
  if (link.href !== before) window.history.replaceState(null, "", link);
}

function addressed(name) {
  return new URLSearchParams(window.location.search).get(name);
}

function openAddressedTab() {
  const tab = window.location.hash.startsWith("#corpus") ? "corpus" : addressed("tab");
  const found = TAB_NAMES.includes(tab) && document.querySelector(`#tab-${tab}-button`);
  if (found) found.click();
}

/* Which results stand on the page, the first turn first; a reload asks the server for them. */
const MOST_TURNS = 40; // in an address: longer ones are cut on their way
const RESULT_ID = /^[0-9a-f]{32}$/;

function turnsInAddress(turns) {
  return turns.map(({ resultId }) => resultId).filter(Boolean).slice(-MOST_TURNS).join(".") || null;
}

let hadTurns = false; // before that the address says what is to be opened

function addressTurns(turns) {
  if (!turns.length && !hadTurns) return;
  hadTurns = true;
  if (turns.some(({ active, state }) => active || state === "waiting")) return; // told once it is there
  setAddress({ shown: turnsInAddress(turns) });
}

/* What the address names of results, as far as the server still holds it: [{id, record}], and how many are missing. */
async function addressedTurns(askServer) {
  const ids = (addressed("shown") || "").split(".").filter((id) => RESULT_ID.test(id)).slice(0, MOST_TURNS);
  const all = await Promise.all(ids.map(async (id) => ({ id, record: (await askServer("whole", { id })).record })));
  const found = all.filter(({ record }) => record);
  return { found, missing: all.length - found.length };
}

/* Colour and context of a view: from the address when it is made, into it when they are chosen. */
const LINKED_CHOICES = { sees: ["zero_shot", "urial", "both"], colour: ["class", "rank", "kl", "gap", "needs"] };

/* Nothing of a conversation; how answers are shown stays. */
function clearAddress() {
  const kept = Object.fromEntries(Object.keys(LINKED_CHOICES).map((name) => [name, addressed(name)]));
  window.history.replaceState(null, "", window.location.pathname);
  setAddress(kept);
}

function addressView(view) {
  const valid = (name) => (LINKED_CHOICES[name].includes(addressed(name)) ? addressed(name) : LINKED_CHOICES[name][0]);
  view.choose({ sees: valid("sees"), mode: valid("colour") });
  const usual = (name, value) => (value === LINKED_CHOICES[name][0] ? null : value);
  return view.on("choose", ({ sees, mode }) => setAddress({ sees: usual("sees", sees), colour: usual("colour", mode) }));
}

/* While a question waits: what was recorded can be looked into, and the question keeps its place. */
function openGallery() {
  document.querySelector("#tab-gallery-button").click();
}

document.addEventListener("click", (event) => {
  const tab = event.target.closest('#tabs [role="tab"]');
  const name = tab && TAB_NAMES.find((each) => tab.id === `tab-${each}-button`);
  if (!name || name === (addressed("tab") || "compare")) return;
  setAddress({ tab: name === "compare" ? null : name, ...(name === "gallery" ? {} : { entry: null, turn: null }) });
});

/* [{id, query}], newest first. A store that is switched off, full or not ours is an empty one. */
function readKept() {
  try {
    const found = JSON.parse(window.localStorage.getItem(KEPT_HERE)) || [];
    return found.filter(({ id, query }) => typeof id === "string" && typeof query === "string").slice(0, MOST_KEPT);
  } catch (error) {
    return [];
  }
}

function writeKept(kept) {
  try {
    if (kept.length) window.localStorage.setItem(KEPT_HERE, JSON.stringify(kept.slice(0, MOST_KEPT)));
    else window.localStorage.removeItem(KEPT_HERE);
  } catch (error) {
    return; // nothing is kept then, and nothing else is lost
  }
}

function keepHere(id, query) {
  writeKept([{ id, query: query.slice(0, 200) }, ...readKept().filter((each) => each.id !== id)]);
}

/* What was kept before this page was opened, each a button; `open` gets what the server still holds. */
function createKept(askServer, open) {
  const list = make("div", { class: "away-list" });
  const clear = button("Clear", () => (writeKept([]), (el.hidden = true)), { "aria-label": "Clear the comparisons kept in this browser" });
  const found = readKept();
  const el = make("div", { id: "kept", role: "group", "aria-label": "Kept in this browser", hidden: found.length === 0 }, make("span", { class: "quiet" }, "Last time:"), list, clear);
  const bring = async ({ id, query }, own) => {
    const { record } = await askServer("whole", { id });
    own.remove();
    el.hidden = list.children.length === 0;
    open(record ? { id, record } : { error: `The server no longer holds the comparison of “${plainText(query).slice(0, 80)}”; ask it again.` });
  };
  const items = found.map((each) => {
    const own = button(`↩ ${[...plainText(each.query)].slice(0, 60).join("")}`, () => bring(each, own), { class: "pg-button away-one", dir: "auto" });
    return own;
  });
  list.append(...items);
  return el;
}
