/* Every token as a row of a table: the token view without colours, for reading, screen readers and print. */

const TABLE_CHUNK = 24; // rows a frame

function createTable(store) {
  const panel = folded("Every token as a table", "all numbers, one token after the other", (body) => buildTable(store, body));
  function update(topics) {
    panel.el.hidden = !heldContexts(store).length;
    if (topics.has("data") || topics.has("meta")) panel.invalidate();
  }
  return { el: panel.el, update };
}

function buildTable(store, body) {
  const held = heldContexts(store);
  const names = contextNames(store.meta && store.meta.settings);
  const columns = tableColumns(held, names);
  const head = h("tr", null, columns.map(({ title }) => h("th", { scope: "col" }, title)));
  const rows = h("tbody");
  const caption = h("caption", { class: "uv-offscreen" }, "Every token of the aligned answer with its numbers");
  const table = h("table", { class: `uv-table uv-token-table${held.length > 1 ? " uv-two" : ""}` }, caption, h("thead", null, head), rows);
  replace(body, h("div", { class: "uv-scroll", tabindex: "0", role: "region", "aria-label": "Table of tokens" }, table));
  fillRows(store, held, columns, rows, 0);
}

/* `of` takes the rows of one position, one for each context. */
function tableColumns(held, names) {
  const each = (title, of) => held.map((name, i) => ({ title: held.length > 1 ? `${title}, ${names[name]}` : title, of: (rows) => (rows[i] ? of(rows[i]) : "–") }));
  return [
    { title: "number", of: ([row]) => whole(row.position + 1) },
    { title: "token", of: ([row]) => h("bdi", { class: "uv-mono" }, tokenName(row.text)) },
    ...each("class", (row) => CLASS_NAMES[row.cls]),
    ...each("base rank", (row) => whole(row.rank)),
    ...each("P base", (row) => probability(row.pb)),
    { title: "P aligned", of: ([row]) => probability(row.pa) },
    ...each("KL, nats", (row) => nats(row.kl)),
    ...each("tuning needed", (row) => amount(row.needs)),
    ...each("base’s first choice", (row) => firstChoice(row)),
  ];
}

function firstChoice(row) {
  const [first] = topOf(row, "base");
  return first ? h("bdi", { class: "uv-mono" }, tokenName(first.text)) : "–";
}

function fillRows(store, held, columns, body, from) {
  const n = store.contexts[held[0]].rows.length;
  const to = Math.min(n, from + TABLE_CHUNK);
  const made = [];
  for (let position = from; position < to; position += 1) {
    const rows = held.map((name) => store.contexts[name].rows[position]);
    if (rows[0]) made.push(h("tr", { class: `uv-row-${rows[0].cls}` }, columns.map(({ of }) => h("td", null, of(rows)))));
  }
  body.append(...made);
  if (to < n && body.isConnected) requestAnimationFrame(() => fillRows(store, held, columns, body, to));
}
