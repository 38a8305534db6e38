/* The host's page: the form that opens a class, and the class on the projector.

The host's secret comes in the address behind #, is kept in this browser and taken out of the address: a projector shows
the address bar to the whole class. */

import { question } from "./answers.js";
import { button, countDown, el, follow, language, languageSwitch, loadTexts, post, refusal, show, store, stored, t, tell } from "./common.js";
import { KINDS } from "./kinds.js";
import { startForm } from "./start.js";

const KEPT = "urial-class-rooms"; // {code: {host, entry, title}}
const root = document.getElementById("root");
const bar = document.getElementById("bar");
let following = null;
let room = null; // {code, host, entry}

function rooms() {
  try {
    return JSON.parse(stored(KEPT) || "{}");
  } catch (error) {
    return {};
  }
}

function keep(code, facts) {
  const all = rooms();
  if (facts) all[code] = facts;
  else delete all[code];
  store(KEPT, JSON.stringify(all));
}

// Which class

function start() {
  if (following) following.stop();
  const [code, host, entry] = window.location.hash.slice(1).split(".");
  const known = Object.hasOwn(rooms(), code) ? rooms()[code] : {};
  if (code && (host || known.host)) return enter({ code, host: host || known.host, entry: entry || known.entry || "" });
  document.title = t("title.host");
  document.body.classList.remove("running");
  delete document.body.dataset.phase;
  show(bar, el("strong", {}, t("host.class")), languageSwitch());
  return startForm(root, earlier(), (opened, title) => {
    keep(opened.code, { host: opened.host, entry: opened.entry, title });
    window.location.hash = opened.code;
  });
}

function earlier() {
  const known = Object.entries(rooms());
  if (!known.length) return null;
  const lines = known.map(([code, facts]) => el("li", {}, el("a", { href: `#${code}` }, `${code} `, el("bdi", {}, facts.title || ""))));
  return el("section", { class: "card" }, el("h2", {}, t("host.earlier")), el("ul", {}, lines));
}

function enter(found) {
  room = found;
  keep(room.code, { ...rooms()[room.code], host: room.host, entry: room.entry });
  window.history.replaceState(null, "", `#${room.code}`);
  document.body.classList.add("running");
  shape();
  following = follow(`api/host?code=${encodeURIComponent(room.code)}`, room.host, draw, (data) => {
    keep(room.code, null);
    window.history.replaceState(null, "", window.location.pathname);
    start();
    tell(refusal(data), true);
  });
}

// The frame: drawn once, so that the code stays where it is

const slots = {};

function shape() {
  for (const name of ["stage", "bottom", "desk", "corner"]) slots[name] = el("div", { class: name });
  slots.desk = el("details", { class: "desk" });
  slots.corner = el("section", { class: "corner", "aria-label": t("host.how_to_join") });
  show(root, slots.corner, slots.stage, slots.bottom, slots.desk);
  corner();
}

function joinAddress(withKey) {
  const address = new URL("./", window.location.href);
  address.search = `?code=${room.code}${withKey && room.entry ? `&entry=${room.entry}` : ""}`;
  return address;
}

async function corner() {
  const address = joinAddress(false);
  const place = `${address.host}${address.pathname}`;
  const picture = el("img", { alt: t("host.qr"), width: "148", height: "148" });
  show(slots.corner, picture, el("div", {}, el("p", { class: "place" }, place), el("p", { class: "code" }, el("span", { "aria-hidden": "true" }, room.code), el("span", { class: "sr" }, t("host.code_is", { code: [...room.code].join(" ") })))));
  const headers = { "content-type": "application/json", authorization: `Bearer ${room.host}` };
  const asked = JSON.stringify({ code: room.code, address: joinAddress(true).href });
  const found = await fetch("api/host/qr", { method: "POST", headers, body: asked }).catch(() => null);
  if (found && found.ok) picture.src = `data:image/svg+xml,${encodeURIComponent(await found.text())}`;
  else picture.remove();
}

async function act(action, more = {}) {
  try {
    const found = await post("api/host/step", { code: room.code, action, ...more }, room.host);
    tell(found.ok ? "" : refusal(found.data), !found.ok);
  } catch (error) {
    tell(t("offline"), true);
  }
  following.look();
}

// What is shown

function draw(view) {
  document.title = view.title || t("title.host");
  document.body.dataset.phase = view.phase;
  const place = view.item ? t("item.of", { number: view.item.number + 1, of: view.of }) : "";
  const title = el("strong", { dir: "auto" }, view.title || t("host.class"));
  show(bar, title, el("span", { class: "quiet" }, place), el("span", { class: "timer", role: "timer" }), languageSwitch());
  show(slots.stage, ...stage(view));
  show(slots.bottom, ...controls(view));
  desk(view);
  if (view.seconds_left !== undefined) countDown(bar.querySelector(".timer"), view.seconds_left, () => following.look());
}

function stage(view) {
  if (view.phase === "ended") return [el("h1", {}, t("ended")), el("p", {}, t("host.ended.about"))];
  if (view.phase === "lobby") return lobby(view);
  const kind = KINDS[view.item.kind];
  if (view.phase === "revealed") return [question(view.item), ...kind.shown(view)];
  const closed = view.phase === "closed" ? el("p", { class: "task closed" }, t("host.closed")) : null;
  return [question(view.item), closed, ...kind.projected(view)];
}

function lobby(view) {
  const names = view.students.filter((each) => each.nickname).map((each) => el("li", {}, el("bdi", {}, each.nickname)));
  return [el("h1", {}, t("host.lobby")), el("p", { class: "count" }, t("students", { n: view.students.length })), el("ul", { class: "names" }, names)];
}

function controls(view) {
  const found = view.item ? [el("span", { class: "count" }, t("host.answered", { n: view.answered, of: view.students.length }))] : [];
  const next = view.item ? view.item.number + 1 : 0;
  const onward = (kind) => next < view.of && button(next ? "host.next" : "host.begin", () => act("goto", { number: next }), { class: kind });
  if (view.phase === "lobby") found.push(onward("primary"));
  if (view.phase === "ready") found.push(timer(), button("host.open", () => act("open", { seconds: seconds() }), { class: "primary" }));
  if (view.phase === "open") found.push(button("host.close", () => act("close"), { class: "primary" }), button("host.reveal", () => act("reveal")));
  if (view.phase === "closed") found.push(button("host.reopen", () => act("open")), button("host.reveal", () => act("reveal"), { class: "primary" }));
  if (view.phase === "revealed") found.push(onward("primary") || button("host.end", () => sure("host.end.sure") && act("end"), { class: "primary" }));
  return found.filter(Boolean);
}

let chosenSeconds = "0";
const seconds = () => Number(chosenSeconds);

function timer() {
  const options = [0, 30, 60, 90, 120, 180, 300].map((each) => el("option", { value: String(each) }, each ? t("host.seconds", { n: each }) : t("host.no_timer")));
  const chosen = el("select", { "aria-label": t("host.timer") }, ...options);
  chosen.value = chosenSeconds;
  chosen.addEventListener("change", () => (chosenSeconds = chosen.value));
  return chosen;
}

// The desk: what the class need not see, folded away

function desk(view) {
  const items = view.items.map((item, number) =>
    el("li", {}, button("host.go", () => act("goto", { number }), { class: "small", disabled: view.phase === "ended" }), ` ${t(`kind.${item.kind}`)}: `, el("bdi", {}, item.query), item.revealed ? ` (${t("host.revealed")})` : ""),
  );
  const people = view.students.map((each, number) =>
    el("li", {}, el("bdi", {}, each.nickname || t("host.nameless", { number: number + 1 })), " ", button("host.drop", () => sure("host.drop.sure") && act("drop", { voter: each.id }), { class: "small" })),
  );
  const wasOpen = slots.desk.open;
  show(
    slots.desk,
    el("summary", {}, t("host.desk")),
    view.note ? el("p", { class: "task closed", lang: "en" }, view.note) : null,
    el("div", { class: "columns" }, el("section", {}, el("h2", {}, t("host.items")), el("ol", {}, items)), el("section", {}, el("h2", {}, t("students", { n: view.students.length })), el("ul", {}, people))),
    el("h2", {}, t("host.link.title")),
    el("p", {}, t("host.link.about"), " ", button("host.link.copy", copyLink, { class: "small" })),
    el("p", { class: "row" }, locking(view), exporting("csv"), exporting("json"), exporting("html"), ending(view), button("host.delete", remove, { class: "danger" }), el("a", { href: window.location.pathname, click: leave }, t("host.another"))),
  );
  slots.desk.open = wasOpen;
}

function locking(view) {
  return button(view.locked ? "host.unlock" : "host.lock", () => act("lock", { locked: !view.locked }));
}

function ending(view) {
  return view.phase === "ended" ? null : button("host.end", () => sure("host.end.sure") && act("end"));
}

const sure = (key) => window.confirm(t(key));

async function copyLink(event) {
  const link = new URL(window.location.href);
  link.hash = `${room.code}.${room.host}.${room.entry}`;
  try {
    await navigator.clipboard.writeText(link.href);
    event.target.textContent = t("host.link.copied");
  } catch (error) {
    window.prompt(t("host.link.title"), link.href); // the clipboard wants https or localhost
  }
}

function exporting(form) {
  return button(`host.export.${form}`, async () => {
    const address = `api/host/export?code=${room.code}&form=${form}&lang=${language}`;
    const found = await fetch(address, { headers: { authorization: `Bearer ${room.host}` } }).catch(() => null);
    if (!found || !found.ok) return tell(t("problem"), true);
    const link = el("a", { href: URL.createObjectURL(await found.blob()), download: `urial-class-${room.code}.${form}` });
    link.click();
    return setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });
}

async function remove() {
  if (!sure("host.delete.sure")) return;
  const found = await post("api/host/delete", { code: room.code }, room.host).catch(() => null);
  if (!found || !found.ok) {
    tell(found ? refusal(found.data) : t("offline"), true);
    return;
  }
  keep(room.code, null);
  window.history.replaceState(null, "", window.location.pathname);
  start();
  tell(t("host.deleted"));
}

function leave(event) {
  event.preventDefault();
  window.history.replaceState(null, "", window.location.pathname);
  start();
}

await loadTexts();
document.body.dataset.offline = t("offline");
window.addEventListener("hashchange", start);
start();
