/* The aligned answer as tokens, coloured for one context. Builds in chunks, repaints without rebuilding.

   Tokens are not isolated from each other (an Arabic answer must still read from right to left across its tokens);
   bidi controls are shown as signs instead, so that none can act, and the pane as a whole is isolated. */

const CHUNK = 120; // elements a frame; keeps every task far under 200 ms
const MOST_SPACES = 64; // a longer run of blanks is one element

function createPane(store, name, help) {
  const el = h("div", { class: "uv-answer uv-tokens", dir: "auto", "aria-describedby": help });
  const pane = { el, name, units: [], current: 0, painted: 0 };
  pane.context = () => store.contexts[name] || { rows: [] };
  pane.unitAt = (position) => pane.units.find((unit) => unit.positions.includes(position));
  return pane;
}

function clearPane(pane) {
  pane.units = [];
  pane.painted = 0;
  pane.current = 0;
  pane.el.replaceChildren();
}

/* Bring the pane up to the store; true when nothing is left to build. */
function growPane(pane, store) {
  const wanted = unitsOf(store);
  dropChangedUnits(pane, store, wanted);
  const next = wanted.slice(pane.units.length, pane.units.length + CHUNK).map((positions) => makeUnit(store, positions));
  if (next.length) {
    pane.units.push(...next);
    pane.el.append(...next.map((unit) => unit.el));
  }
  const code = codePieces(store.pieces);
  pane.units.forEach(({ el, positions }) => el.classList.toggle("uv-fixed", code !== null && code[positions[0]]));
  describePane(pane, store);
  return pane.units.length === wanted.length;
}

/* A streamed token is known for an end token only when its row comes; a word may grow by a piece. */
function dropChangedUnits(pane, store, wanted) {
  const changed = (unit, i) => !wanted[i] || unit.positions.join() !== wanted[i].join() || unit.special !== store.pieces[unit.positions[0]].special;
  const differs = pane.units.findIndex(changed);
  if (differs < 0) return;
  pane.units.splice(differs).forEach((unit) => unit.el.remove());
  pane.painted = Math.min(pane.painted, differs);
  pane.current = Math.min(pane.current, Math.max(0, pane.units.length - 1));
}

function describePane(pane, store) {
  if (!pane.units.length) {
    pane.el.removeAttribute("role");
    return;
  }
  const sees = contextNames(store.meta && store.meta.settings)[pane.name];
  pane.el.setAttribute("role", "listbox");
  pane.el.setAttribute("aria-orientation", "horizontal");
  pane.el.setAttribute("aria-label", `Aligned answer, token by token; the base sees ${sees}`);
}

function makeUnit(store, positions) {
  const pieces = positions.map((position) => store.pieces[position]);
  const text = pieces.map((piece) => piece.text).join("");
  const mark = h("span", { class: "uv-mark" });
  const number = h("sup", { class: "uv-number", "aria-hidden": "true" });
  const el = h("span", { class: "uv-token", role: "option", tabindex: "-1", "aria-selected": "false" });
  const unit = { positions, text, el, mark, number, special: pieces[0].special, look: "" };
  if (pieces[0].special) return endUnit(unit, text);
  const [, lead, core, trail] = /^(\s*)([\s\S]*?)(\s*)$/u.exec(text);
  if (core === "") mark.append(...(text === "" ? ["◦"] : blanks(text)));
  else mark.append(rawText(core));
  const line = core === "" && mark.querySelector(".uv-line");
  if (line) line.prepend(number); // before the break, not on the next line
  else mark.append(number);
  el.append(...(core === "" ? [mark] : [...blanks(lead), mark, ...blanks(trail)]));
  if (core === "") el.classList.add("uv-blank");
  return unit;
}

/* The end token is shown as a sign; it is no part of the text. */
function endUnit(unit, text) {
  unit.el.classList.add("uv-end");
  unit.mark.append("end", unit.number);
  unit.el.append(unit.mark);
  unit.el.title = text ? `end token ${visible(text)}` : "end token";
  return unit;
}

/* Blanks keep their place in the text; their sign is drawn by the style sheet and is never copied. */
function blanks(text) {
  if (text === "" || text.length > MOST_SPACES) return text === "" ? [] : [rawText(text)];
  const signs = { " ": "·", "\n": "↵", "\t": "⇥" };
  return [...text].map((char) =>
    h("span", { class: char === "\n" ? "uv-line" : "uv-space", "data-sign": signs[char] || "·" }, rawText(char)),
  );
}

/* Colour what has a row and is not painted yet; everything again after a choice (`all`). */
function paintPane(pane, store, all) {
  const context = pane.context();
  if (all) pane.painted = 0;
  let complete = true;
  for (let i = pane.painted; i < pane.units.length; i += 1) {
    const done = paintUnit(pane.units[i], context, store);
    complete = complete && done;
    if (complete) pane.painted = i + 1;
  }
  rove(pane, pane.current);
}

function paintUnit(unit, context, store) {
  const row = worstRow(context, unit.positions);
  if (!row) {
    unit.el.setAttribute("aria-label", `${spoken(unit.text)}, not scored yet`);
    return false;
  }
  const look = paint(row, store.ui);
  const plain = store.ui.onlyShifted ? row.cls !== "s" : row.special && !store.ui.countEnd;
  const style = plain ? (store.ui.onlyShifted ? "uv-dim" : "") : look.style;
  if (unit.look !== style) unit.mark.className = `uv-mark ${(unit.look = style)}`;
  setText(unit.number, plain ? "" : look.number);
  unit.el.classList.toggle("uv-signed", !plain && look.level > 0);
  unit.el.setAttribute("aria-label", sayRow(row, store.ui, unit.text));
  return true;
}

/* One tab stop: only the current token can be tabbed to. */
function rove(pane, index) {
  if (!pane.units.length) return;
  const before = pane.units[pane.current];
  if (before) before.el.tabIndex = -1;
  pane.current = Math.max(0, Math.min(index, pane.units.length - 1));
  pane.units[pane.current].el.tabIndex = 0;
}

function markSelection(pane, store) {
  for (const [key, style] of [["selected", "uv-selected"], ["hovered", "uv-hovered"]]) {
    const before = pane[key];
    const now = store[key] === null ? undefined : pane.unitAt(store[key]);
    if (before && before !== now) before.el.classList.remove(style);
    if (now) now.el.classList.add(style);
    if (key === "selected") {
      if (before) before.el.setAttribute("aria-selected", "false");
      if (now) now.el.setAttribute("aria-selected", "true");
    }
    pane[key] = now;
  }
}
