/* The card of one token: both ranked lists, the numbers in every context, the words before, and the ways on.
   Made when a token is chosen, never before. */

const WORDS_BEFORE = 90; // characters of the answer shown before the token

function createCard(store, host, term, actions) {
  const heading = h("h3", { class: "uv-title", tabindex: "-1" });
  const before = h("p", { class: "uv-before", dir: "auto" });
  const body = h("div", { class: "uv-lists" });
  const step = (label, sign, way) => iconButton(label, sign, () => actions.step(way));
  const tools = h(
    "div",
    { class: "uv-tools" },
    step("Previous shifted token", "‹", -1),
    step("Next shifted token", "›", 1),
    iconButton("Close the token card", "×", () => actions.close()),
  );
  const el = h("section", { class: "uv-panel uv-token-card", "aria-label": "Token card" });
  el.append(h("header", { class: "uv-card-head" }, heading, tools), before, body);
  el.addEventListener("keydown", (event) => cardKey(event, actions));
  let shownKey = "";

  function update(topics) {
    const context = primaryContext(store);
    const row = context && store.selected !== null ? context.rows[store.selected] : null;
    el.hidden = !row;
    const key = row ? `${row.position}|${shownContexts(store).join()}` : "";
    if (!row || (key === shownKey && !topics.has("data") && !topics.has("meta"))) return;
    shownKey = key;
    showCard(store, host, term, row, { heading, before, body });
  }
  return { el, update, pointed: true, focus: () => heading.focus({ preventScroll: true }), has: () => el.contains(document.activeElement) };
}

function iconButton(label, sign, onClick) {
  return h("button", { type: "button", class: "uv-button uv-icon", "aria-label": label, title: label, on: { click: onClick } }, sign);
}

/* In the card, Escape closes, arrows walk and n/p jump, as in the answer. */
function cardKey(event, actions) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const keys = {
    Escape: () => actions.close(),
    ArrowRight: () => actions.walk(1),
    ArrowLeft: () => actions.walk(-1),
    n: () => actions.step(1),
    p: () => actions.step(-1),
  };
  if (!Object.hasOwn(keys, event.key)) return;
  event.preventDefault();
  keys[event.key]();
}

function showCard(store, host, term, row, parts) {
  const kind = row.special ? "end of turn, " : "";
  replace(parts.heading, "“", h("bdi", null, wordName(row.text)), `”, token ${whole(row.position + 1)}: ${kind}${placeOf(row)}`);
  const text = store.pieces.slice(0, row.position).map((piece) => piece.text).join("");
  replace(parts.before, visible(ending(text, WORDS_BEFORE)).replace(/\n/g, "↵ "), h("b", null, visible(clipped(row.text)).replace(/\n/g, "↵")));
  const names = contextNames(store.meta && store.meta.settings);
  const shown = shownContexts(store);
  const lists = shown.map((name) => {
    const title = shown.length > 1 ? `The base, seeing ${names[name]}` : "The base would have said";
    return rankedList(title, store.contexts[name].rows[row.position], "base", host, term);
  });
  lists.push(rankedList("The aligned model’s own list", row, "aligned", host, term));
  replace(parts.body, lists, numbers(store, host, term, row, names));
}

function rankedList(title, row, side, host, term) {
  const top = row ? topOf(row, side) : [];
  const items = top.map((entry, k) => listRow(k + 1, entry, entry.id === row.id, side, row.position, host));
  const rank = side === "base" ? row && row.rank : row && row.alignedRank;
  const listed = [...top];
  if (rank && !top.some((entry) => entry.id === row.id)) {
    const own = { id: row.id, text: row.text, p: side === "base" ? row.pb : row.pa };
    listed.push(own);
    items.push(listRow(rank, own, true, side, row.position, host));
  }
  const rest = Math.max(0, 1 - listed.reduce((sum, entry) => sum + entry.p, 0));
  const restRow = h("li", { class: "uv-entry uv-rest" }, h("span"), h("span", null, term("rest")), h("span"), h("span", null, probability(rest)));
  return h("div", { class: `uv-list${host.continuation ? " uv-list-go" : ""}` }, h("h4", null, title), top.length ? h("ol", null, items, restRow) : h("p", { class: "uv-soft" }, "not known here"));
}

function listRow(rank, entry, hit, side, position, host) {
  const bar = h("span", { class: `uv-p-bar uv-p-${side}` });
  bar.style.width = `${Math.max(0.6, 100 * entry.p)}%`;
  const name = h("bdi", { class: "uv-entry-name", title: `token ${entry.id}` }, tokenName(entry.text));
  const parts = [h("span", { class: "uv-entry-rank" }, whole(rank)), name, h("span", { class: "uv-track" }, bar), h("span", null, probability(entry.p))];
  if (host.continuation) parts.push(hit && side === "aligned" ? h("span") : continueWith(entry, position, host));
  return h("li", { class: `uv-entry${hit ? " uv-hit" : ""}` }, parts);
}

function continueWith(entry, position, host) {
  const label = `Let the base continue with “${spoken(entry.text)}” instead`;
  const click = () => host.emit("continue-with", { position, id: entry.id, text: entry.text });
  return h("button", { type: "button", class: "uv-button uv-icon uv-go-on", "aria-label": label, title: label, on: { click } }, "↪");
}

/* Base rank, probabilities and distances, one column for each context that the record holds. */
function numbers(store, host, term, row, names) {
  const held = heldContexts(store).filter((name) => store.contexts[name].rows[row.position]);
  const rows = held.map((name) => store.contexts[name].rows[row.position]);
  const line = (title, values) => h("tr", null, h("th", { scope: "row" }, title), values.map((value) => h("td", null, value)));
  const head = h("tr", null, h("td"), held.map((name) => h("th", { scope: "col" }, names[name])));
  const body = [
    line(term("rank"), rows.map((item) => whole(item.rank))),
    line("P base", rows.map((item) => probability(item.pb))),
    line("P aligned", rows.map((item) => probability(item.pa))),
    line(term("kl", "KL, nats"), rows.map((item) => distance(item, item.kl))),
    line(term("js", "JS, nats"), rows.map((item) => distance(item, item.js))),
    line(term("needs"), rows.map((item) => amount(item.needs))),
  ];
  if (rows.some((item) => item.open !== null)) body.push(line("mass not covered", rows.map((item) => probability(item.open))));
  if (row.alignedRank > 1) body.push(line("aligned rank", rows.map((item) => whole(item.alignedRank))));
  const table = h("table", { class: "uv-table uv-card-numbers" }, h("thead", null, head), h("tbody", null, body));
  const from = () => host.emit("continue-from", { position: row.position });
  const go = h("button", { type: "button", class: "uv-button uv-wide", on: { click: from } }, "Let the base continue from here →");
  return h("div", { class: "uv-card-side" }, table, host.continuation ? go : []);
}
