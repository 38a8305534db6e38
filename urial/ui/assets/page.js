/* window.UrialPage: what Gradio's side calls. It attaches the host, reads the form, hands batches on, watches loading. */

let door = null; // {trigger, server}: Gradio's side of the Compare tab, once its host is there
let conversation = null;
let watched = null;
let notice = null;
let pairFacts = {}; // by the pair's name

const factsOf = (pair) => (Object.hasOwn(pairFacts, pair) ? pairFacts[pair] : { turning: null, billions: null });

async function askServer(name, data) {
  return askBy(door.server, name, data);
}

async function askBy(server, name, data) {
  try {
    return await server[name](data);
  } catch (error) {
    return { error: "The server cannot be reached; check the connection and try again." };
  }
}

function attach(name, element, trigger, server, events, facts) {
  const place = element.querySelector("[data-host]");
  const ask = (question, data) => askBy(server, question, data);
  if (name === "compare") attachCompare(place, trigger, server, facts);
  else if (name === "gallery") createGallery(place, ask, askYourself, factsOf);
  else if (name === "corpus") createCorpus(place, ask);
  else createPicture(place, ask);
}

/* A recorded question into the query box of the Compare tab. */
function askYourself(query) {
  document.querySelector("#tab-compare-button").click();
  unfoldForm();
  const box = document.querySelector("#query textarea");
  box.value = query;
  box.dispatchEvent(new Event("input", { bubbles: true }));
  box.focus();
}

function attachCompare(place, trigger, server, facts) {
  door = { trigger, server };
  const turns = make("div", { id: "turns" });
  notice = make("p", { class: "notice", id: "page-notice", role: "status", hidden: true });
  pairFacts = facts;
  conversation = createConversation(turns, askServer, trigger, tell, factsOf);
  const over = button("Start over", startOver, { id: "start-over" });
  const opener = make("div", { id: "opener" }, createOpener(askServer, opened), over);
  const welcome = make("section", { id: "welcome", "aria-label": "A recorded example" });
  const kept = createKept(askServer, (found) => opened(found, "Kept from an earlier visit; nothing was computed."));
  place.append(createFormFold(), opener, conversation.away, kept, notice, turns, welcome);
  createWelcome(welcome, askServer, factsOf);
}

function opened(found, words = "Opened from a file; nothing was computed.") {
  tell(found.error || "", Boolean(found.error));
  if (found.record) conversation.open(found, words);
}

/* A sentence above the turns; `isWrong` for one that says what did not work. */
function tell(words, isWrong) {
  notice.classList.toggle("wrong", Boolean(isWrong));
  setText(notice, plainText(words));
  notice.hidden = !words;
}

/* The form's values by name; a method comes as "name/examples". */
function valuesOf(list) {
  const values = Object.fromEntries(FORM_FIELDS.map((name, index) => [name, list[index]]));
  const [method, examples] = String(values.method).split("/");
  return { ...values, query: values.query || "", method, examples: examples === undefined ? null : Number(examples) };
}

async function ask(list) {
  const values = valuesOf(list);
  tell("");
  await conversation.ask(values);
  watchPair(values.pair);
}

/* Gives the query box's next text. */
function askExample(list, text) {
  const values = { ...valuesOf(list), query: text };
  tell("");
  conversation.ask(values).then(() => watchPair(values.pair));
  return text;
}

async function goOn(list) {
  tell("");
  await conversation.goOn(valuesOf(list));
}

async function enter(list) {
  const values = valuesOf(list);
  tell("");
  await conversation.enter(values);
  watchPair(values.pair);
}

function startOver() {
  conversation.putAway();
  unfoldForm();
  tell("");
  clearAddress();
  document.querySelector("#query textarea").focus();
}

/* Once the form is there: a link's question is asked by a click, not by opening the page. */
function arrived(list, words) {
  conversation.showFollow();
  openAddressedTab();
  watchPair(valuesOf(list).pair);
  const hasQuery = new URLSearchParams(window.location.search).has("query");
  addressedTurns(askServer).then(({ found, missing }) => {
    if (found.length) conversation.restore(found);
    if (missing && !hasQuery) tell("The server no longer holds all that this address names; ask again.", true);
    if (missing && !found.length) setAddress({ shown: null });
  });
  if (hasQuery || words) tell(words || "This link brings a question with its settings. Press Compare to run it.");
  if (hasQuery) document.querySelector("#go").focus();
}

/* Says where the pair's models are until they are ready or failed. */
async function watchPair(name) {
  watched = name;
  while (watched === name) {
    const { state, message, fraction, error } = await askServer("status", { pair: name });
    if (watched !== name) return;
    showRoom(state, error || message, fraction);
    if (state !== "loading") return;
    await new Promise((resolve) => setTimeout(resolve, 700));
  }
}

function showRoom(state, message, fraction) {
  const line = document.querySelector("#room-line");
  if (!line) return;
  const share = typeof fraction === "number" ? `: ${Math.round(100 * fraction)} %` : "…";
  const words = { ready: "models ready", absent: message || "models load with the first question", loading: `${message}${share}` };
  line.dataset.state = state || "failed";
  setText(line, plainText(words[state] || message || ""));
}

/* The turn itself says what went wrong; Gradio's own words beside it would say it twice. */
function clearToasts() {
  document.querySelectorAll(".toast-close").forEach((close) => close.click());
}

/* Tab leaves a chooser, and its list closes as the focus goes. Gradio would open the list for Tab as for any key, and the
   list is a scroll box, which Chromium counts as a stop on the way. */
document.addEventListener(
  "keydown",
  (event) => {
    const chooser = event.key === "Tab" && event.target.closest("#pair, #method");
    if (!chooser) return;
    event.stopPropagation();
    chooser.querySelectorAll(".option-list").forEach((list) => (list.tabIndex = -1));
  },
  true,
);

/* A question that has been asked is replaced by typing, as in a search box. */
document.addEventListener("focusin", (event) => {
  const box = event.target;
  if (box.matches("#query textarea") && conversation && box.value && box.value === conversation.lastQuery()) box.select();
});

window.UrialPage = {
  attach,
  receive: (text) => conversation.receive(text),
  ended: () => conversation.ended(),
  failed: (name) => (clearToasts(), conversation.failed(name)),
  ask,
  askExample,
  goOn,
  enter,
  arrived,
  watchPair,
};

/* Shift+Enter breaks the line: Gradio's box would send. Listening first keeps the browser's own line break. */
document.addEventListener(
  "keypress",
  (event) => {
    if (event.key === "Enter" && event.shiftKey && event.target.closest("#query")) event.stopPropagation();
  },
  true,
);
