/* What can be kept and passed on: files, a link, a saved file opened again. */

async function keepTurn(turn, kind, askServer) {
  if (kind === "png") return saveAs(`${stemOf(turn.ask.query)}.png`, await turn.view.toPNG());
  const found = await askServer("export", { id: turn.resultId, kind });
  if (found.error) return refuse(turn, found.error);
  return saveAs(found.name, new Blob([found.text], { type: `${found.type};charset=utf-8` }));
}

function stemOf(query) {
  const words = query.slice(0, 80).toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 48);
  return words ? `urial-${words}` : "urial-comparison";
}

const LINK_LIMIT = 6000; // characters: proxies and mail programs cut longer ones
const LINK_DEFAULTS = { temperature: 0, top_p: 1, max_new_tokens: 256, seed: 0, base_penalty: 1.1, aligned_penalty: 1, aligned_method: "chat" };

/* A question with its settings and choices of the view; where turns came before it, they are named by their results. */
function linkOf(ask, turns) {
  const link = new URL(window.location.href);
  link.search = "";
  link.hash = "";
  for (const name of Object.keys(LINKED_CHOICES)) if (addressed(name)) link.searchParams.set(name, addressed(name));
  if (turns.length > 1) link.searchParams.set("shown", turnsInAddress(turns));
  if (turns.length > 1) return link.href;
  link.searchParams.set("query", ask.query);
  link.searchParams.set("pair", ask.pair);
  link.searchParams.set("method", ask.examples === null ? ask.method : `${ask.method}/${ask.examples}`);
  for (const [name, usual] of Object.entries(LINK_DEFAULTS)) if (ask[name] !== usual) link.searchParams.set(name, ask[name]);
  return link.href;
}

async function copyLinkOf(turn, turns, from) {
  const link = linkOf(turn.ask, turns);
  if (link.length > LINK_LIMIT) return refuse(turn, "The question is too long for a link; keep the JSON file instead.");
  const before = from.textContent;
  setText(from, (await copyToClipboard(link)) ? "Copied" : "Copy it from the address bar");
  window.history.replaceState(null, "", link);
  return setTimeout(() => setText(from, before), 2500);
}

/* The clipboard wants https or localhost; elsewhere the address bar holds the link. */
async function copyToClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch (error) {
    return false;
  }
}

/* The question behind a record, so that an opened one can be gone on with. */
function askOf(record) {
  const { settings, rewrite } = record;
  return {
    query: record.query,
    history: record.history,
    pair: record.pair.name,
    method: settings.method,
    examples: settings.method.startsWith("urial") ? settings.examples : null,
    temperature: settings.temperature,
    top_p: settings.top_p,
    max_new_tokens: settings.max_new_tokens,
    seed: settings.seed,
    base_penalty: settings.repetition_penalty.base,
    aligned_penalty: settings.repetition_penalty.aligned,
    aligned_method: rewrite ? "s2a" : "chat",
  };
}

/* A control that opens a saved comparison; `opened` gets the server's answer. */
function createOpener(askServer, opened) {
  const input = make("input", { type: "file", accept: ".json,application/json", hidden: true, "aria-label": "A saved comparison" });
  const open = button("Open a saved comparison", () => input.click(), { id: "open-saved" });
  input.addEventListener("change", async () => {
    const [file] = input.files;
    input.value = "";
    if (file) opened(await askServer("open_record", { text: await file.text(), name: file.name }));
  });
  return [open, input];
}
