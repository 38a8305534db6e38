/* Moving through the tokens of a pane: pointer, touch and keys. Knows panes; what "open" means is its caller's. */

/* `actions`: open(position, byKey), close(), follow(position), hover(position | null), tip and tipOnFocus(pane, unit), hideTip(). */
function makeWalkable(pane, store, actions) {
  const unitOf = (event) => {
    const el = event.target.closest && event.target.closest(".uv-token");
    return el ? pane.units.findIndex((unit) => unit.el === el) : -1;
  };
  pane.el.addEventListener("click", (event) => {
    const index = unitOf(event);
    if (index < 0 || !window.getSelection().isCollapsed) return; // dragging selects text, as everywhere
    rove(pane, index);
    pane.units[index].el.focus({ preventScroll: true });
    actions.open(speaking(pane, index), false);
  });
  pane.el.addEventListener("pointerover", (event) => {
    const index = unitOf(event);
    if (index < 0 || event.pointerType === "touch") return;
    actions.hover(speaking(pane, index));
    actions.tip(pane, pane.units[index]);
  });
  pane.el.addEventListener("pointerleave", () => (actions.hover(null), actions.hideTip()));
  pane.el.addEventListener("focusin", (event) => {
    const index = unitOf(event);
    if (index < 0) return;
    rove(pane, index);
    if (pane.units[index].el.matches(":focus-visible")) actions.tipOnFocus(pane, pane.units[index]);
  });
  pane.el.addEventListener("focusout", () => actions.hideTip());
  pane.el.addEventListener("keydown", (event) => onKey(event, pane, store, actions));
}

/* The position that speaks for a unit. */
function speaking(pane, index) {
  const unit = pane.units[index];
  const row = worstRow(pane.context(), unit.positions);
  return row ? row.position : unit.positions[0];
}

function onKey(event, pane, store, actions) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    actions.open(speaking(pane, pane.current), true);
    return;
  }
  if (event.key === "Escape") {
    actions.hideTip();
    actions.close();
    return;
  }
  const target = keyTarget(event.key, pane);
  if (target === null) return;
  event.preventDefault();
  goTo(pane, target);
  actions.follow(speaking(pane, pane.current));
}

function goTo(pane, index) {
  rove(pane, index);
  pane.units[pane.current].el.focus();
}

/* The unit a key leads to, or null for a key that means nothing here. */
function keyTarget(key, pane) {
  const last = pane.units.length - 1;
  const forward = getComputedStyle(pane.el).direction === "rtl" ? "ArrowLeft" : "ArrowRight";
  const back = forward === "ArrowLeft" ? "ArrowRight" : "ArrowLeft";
  const moves = {
    [forward]: () => Math.min(last, pane.current + 1),
    [back]: () => Math.max(0, pane.current - 1),
    ArrowDown: () => otherLine(pane, 1),
    ArrowUp: () => otherLine(pane, -1),
    Home: () => 0,
    End: () => last,
    n: () => nextShifted(pane, pane.current, 1),
    p: () => nextShifted(pane, pane.current, -1),
  };
  return Object.hasOwn(moves, key) ? moves[key]() : null;
}

/* The next shifted unit in a direction; the current one where there is none. */
function nextShifted(pane, from, step) {
  const context = pane.context();
  for (let i = from + step; i >= 0 && i < pane.units.length; i += step) {
    const row = worstRow(context, pane.units[i].positions);
    if (row && row.cls === "s") return i;
  }
  return from;
}

/* The unit nearest below or above, by where it is on the screen. */
function otherLine(pane, step) {
  const here = pane.units[pane.current].mark.getBoundingClientRect();
  let best = pane.current;
  let line = null;
  let distance = Infinity;
  for (let i = pane.current + step; i >= 0 && i < pane.units.length; i += step) {
    const box = pane.units[i].mark.getBoundingClientRect();
    const apart = step * (box.top - here.top);
    if (apart < here.height * 0.6) continue;
    if (line === null) line = box.top;
    if (step * (box.top - line) > here.height * 0.6) break;
    const off = Math.abs(box.left + box.width / 2 - here.left - here.width / 2);
    if (off < distance) [best, distance] = [i, off];
  }
  return best;
}
