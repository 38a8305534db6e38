/* What the address says, and what this browser remembers: the tab, the opened recording, the last comparisons by their
   names at the server. Knows nothing of what they hold. */

const TAB_NAMES = ["compare", "gallery", "corpus", "learn"];
const KEPT_HERE = "urial.kept/1"; // the name in the browser's store
const MOST_KEPT = 10;

/* Values of null leave the address. */
function setAddress(values) {
  const link = new URL(window.location.href);
  for (const [name, value] of Object.entries(values)) {
    if (value === null) link.searchParams.delete(name);
    else link.searchParams.set(name, value);
  }
  window.history.replaceState(null, "", link);
}

function addressed(name) {
  return new URLSearchParams(window.location.search).get(name);
}

function openAddressedTab() {
  const tab = window.location.hash.startsWith("#corpus") ? "corpus" : addressed("tab");
  const found = TAB_NAMES.includes(tab) && document.querySelector(`#tab-${tab}-button`);
  if (found) found.click();
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
