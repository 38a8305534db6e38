/* The student's page: join by a code, answer what is open, see the reveal, take it home. */

import { question } from "./answers.js";
import { countDown, el, button, follow, language, languageSwitch, loadTexts, postUntilHeard, refusal, show, store, stored, t, tell } from "./common.js";
import { KINDS } from "./kinds.js";

const root = document.getElementById("root");
const bar = document.getElementById("bar");
const linked = new URLSearchParams(window.location.search);
let following = null;
let wasIn = false;

// Joining

function joinForm(code, message = "") {
  document.title = t("title.student");
  const typed = el("input", { name: "code", required: true, maxlength: "12", autocomplete: "off", autocapitalize: "characters", spellcheck: "false", value: code });
  const nickname = el("input", { name: "nickname", maxlength: "24", autocomplete: "off", "aria-describedby": "about-nickname" });
  const joined = el("button", { class: "primary" }, t("join"));
  const form = el(
    "form",
    { class: "join card" },
    el("label", {}, t("code"), typed),
    el("label", {}, t("nickname"), nickname),
    el("p", { id: "about-nickname", class: "quiet" }, t("nickname.about")),
    joined,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    joined.disabled = true;
    const asked = { code: typed.value, nickname: nickname.value, entry: linked.get("entry") || "" };
    const found = await postUntilHeard("api/join", asked, () => tell(t("offline"), true));
    joined.disabled = false;
    if (!found.ok) return tell(refusal(found.data), true);
    tell("");
    return enter(found.data.code, true);
  });
  show(bar, el("strong", {}, t("class")), languageSwitch());
  show(root, el("h1", {}, t("join.title")), form);
  tell(message, Boolean(message));
}

function enter(code, hasJoined = false) {
  if (following) following.stop();
  following = follow(`api/state?code=${encodeURIComponent(code)}`, "", draw, (data) => {
    const isStranger = data.key === "refused.member";
    const noCookie = hasJoined && !wasIn ? t("cookies") : "";
    joinForm(code, isStranger ? noCookie : refusal(data));
  });
}

// What is shown

function draw(view) {
  wasIn = true;
  const address = new URL(window.location.href);
  address.search = `?code=${encodeURIComponent(view.code)}`; // the QR code's key is not needed any more
  window.history.replaceState(null, "", address);
  document.title = view.title || t("title.student");
  const place = view.item ? t("item.of", { number: view.item.number + 1, of: view.of }) : "";
  show(bar, el("strong", { dir: "auto" }, view.title || t("class")), el("span", { class: "quiet" }, place), el("span", { class: "timer", role: "timer" }), languageSwitch());
  tell("");
  show(root, ...parts(view));
  if (view.seconds_left !== undefined) countDown(bar.querySelector(".timer"), view.seconds_left, () => following.look());
}

function parts(view) {
  const hello = view.you ? el("p", { class: "quiet" }, t("hello"), " ", el("bdi", {}, view.you)) : null;
  if (view.phase === "ended") return [el("h1", {}, t("ended")), el("p", {}, t("ended.about")), homeLinks(view)];
  if (view.phase === "lobby") return [el("h1", {}, t("lobby")), hello, el("p", {}, t("lobby.about"))];
  const kind = KINDS[view.item.kind];
  if (view.phase === "ready") return [el("p", { class: "task" }, t("ready")), question(view.item), el("p", {}, t("ready.about"))];
  if (view.phase === "revealed") return [question(view.item), ...kind.revealed(view), homeLinks(view)];
  return [question(view.item), ...answering(view, kind)];
}

function homeLinks(view) {
  const address = `home?code=${encodeURIComponent(view.code)}&lang=${language}`;
  return el("p", { class: "home" }, el("a", { href: address, target: "_blank", rel: "noopener" }, t("home.open")), " · ", el("a", { href: `${address}&save=1` }, t("home.save")));
}

// Answering: what is tapped is kept in this tab until it is handed in

function answering(view, kind) {
  const name = `urial-class-draft-${view.code}-${view.item.number}`;
  const isOpen = view.phase === "open";
  const draft = kept(name, kind, view);
  const changed = () => {
    store(name, JSON.stringify(kind.answer(draft)), "sessionStorage");
    tell("");
  };
  const send = () => handIn(view, kind, draft, name);
  const state = isOpen ? null : el("p", { class: "task closed" }, view.mine ? t("closed.handed_in") : t("closed"));
  if (isOpen && view.mine) tell(t("saved"));
  return [state, ...kind.open(view, draft, isOpen, changed, send)];
}

function kept(name, kind, view) {
  const draft = kind.start(view.mine);
  const text = view.phase === "open" ? stored(name, "sessionStorage") : null;
  if (!text) return draft;
  const found = JSON.parse(text);
  if (Array.isArray(found.words)) draft.words = new Set(found.words);
  else Object.assign(draft, found);
  return draft;
}

/* One request at a time, the newest answer last: an older one that was retried must not overwrite it. */
let waiting = null;
let isSending = false;

async function handIn(view, kind, draft, name) {
  if (!kind.isComplete(draft)) return;
  waiting = { name, asked: { code: view.code, item: view.item.number, answer: kind.answer(draft) } };
  tell(t("saving"));
  if (isSending) return;
  isSending = true;
  while (waiting) {
    const { name: kept, asked } = waiting;
    waiting = null;
    const found = await postUntilHeard("api/answer", asked, () => tell(t("not_saved_yet"), true));
    if (found.ok && !waiting) store(kept, null, "sessionStorage");
    if (!waiting) tell(found.ok ? t("saved") : refusal(found.data), !found.ok);
  }
  isSending = false;
}

await loadTexts();
document.body.dataset.offline = t("offline");
const code = linked.get("code") || "";
if (code) enter(code); // whoever is in already goes on; others are asked to join
else joinForm("");
