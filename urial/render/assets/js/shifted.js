/* The most shifted tokens of this answer, and of this visit (all answers that this view has shown). */

const MOST = 14;

function createShifted(store, actions) {
  const chips = h("div", { class: "uv-chips" });
  const el = h("section", { class: "uv-panel" }, h("h3", { class: "uv-title" }, "Most shifted words in this answer"), chips);
  function update() {
    const context = primaryContext(store);
    const rows = context ? mostShifted(context.rows) : [];
    const none = h("p", { class: "uv-soft" }, context ? "No token of this answer is shifted." : "Nothing is scored yet.");
    replace(chips, rows.length ? rows.map((row) => chip(row, () => actions.open(row.position, false))) : none);
  }
  return { el, update };
}

function mostShifted(rows) {
  const shifted = rows.filter((row) => row && row.cls === "s" && !row.special);
  return shifted.sort((a, b) => b.rank - a.rank || a.position - b.position).slice(0, MOST);
}

function chip(row, onClick) {
  const label = `${spoken(row.text)}, token ${whole(row.position + 1)}, base rank ${whole(row.rank)}`;
  const content = [h("bdi", null, wordName(row.text)), h("small", null, `rank ${whole(row.rank)}`)];
  return h("button", { type: "button", class: "uv-chip", "aria-label": label, on: { click: onClick } }, content);
}

/* Tokens shifted in the answers seen so far: how often, and how far down at most. Shown from the second answer on. */
function createVisit() {
  const seen = new Map();
  const answers = new Set(); // by `answerName`: an answer that is shown once more, as beside another base, counts once
  const chips = h("div", { class: "uv-chips" });
  const title = h("h3", { class: "uv-title" });
  const el = h("section", { class: "uv-panel", hidden: true }, title, chips);

  function add(answer, rows) {
    if (answers.has(answer)) return;
    answers.add(answer);
    for (const row of rows.filter((item) => item && item.cls === "s" && !item.special)) {
      const entry = seen.get(row.text) || { text: row.text, times: 0, rank: 0 };
      entry.times += 1;
      entry.rank = Math.max(entry.rank, row.rank);
      seen.set(row.text, entry);
    }
    show();
  }
  function show() {
    el.hidden = answers.size < 2;
    setText(title, `Most shifted words of this visit (${answers.size} answers)`);
    const most = [...seen.values()].sort((a, b) => b.times - a.times || b.rank - a.rank).slice(0, 24);
    replace(chips, most.map((entry) => h("span", { class: "uv-chip" }, h("bdi", null, wordName(entry.text)), h("small", null, `${entry.times} ×`))));
  }
  return { el, add, tally: () => [...seen.values()].map((entry) => ({ ...entry })) };
}

/* What makes two aligned answers the same one: the prompt, and the ids in their order. */
function answerName(store) {
  return JSON.stringify([store.sides.aligned.prompt, store.pieces.map(({ id, text }) => (id === null ? text : id))]);
}
