/* Which token is pointed at and which one is open: ties panes, strip, tip and card together. */

function createCursor(store, panes, tip, emit, flush) {
  let card = null;
  const activePane = () => {
    const shown = shownContexts(store).map((name) => panes[name]);
    return shown.find((pane) => pane.el.contains(document.activeElement)) || shown[0];
  };
  function select(position) {
    if (store.selected === position) return;
    store.selected = position;
    store.changed("select");
    emit("select", { position });
  }
  function open(position, byKey) {
    const pane = activePane();
    select(position);
    tip.hide();
    flush();
    card.el.classList.add("uv-sheet");
    reveal(pane, position, card.el);
    if (byKey) card.focus();
  }
  function close() {
    const pane = activePane();
    const hadFocus = card.has();
    if (hadFocus && pane) goTo(pane, pane.current);
    card.el.classList.remove("uv-sheet");
    tip.hide();
    select(null);
  }
  /* Move the selection by `indexAfter(pane)`, keeping focus where it is. */
  function move(indexAfter) {
    const pane = activePane();
    const at = pane.units.findIndex((unit) => unit.positions.includes(store.selected));
    rove(pane, indexAfter(pane, at));
    select(speaking(pane, pane.current));
    flush();
    reveal(pane, store.selected, card.el);
  }
  const actions = {
    open,
    close,
    follow: (position) => store.selected !== null && select(position),
    step: (way) => move((pane, at) => nextShifted(pane, at, way)),
    walk: (way) => move((pane, at) => at + way),
    hover: (position) => {
      if (store.hovered === position) return;
      store.hovered = position;
      store.changed("hover");
    },
    tip: (pane, unit) => showTip(store, tip, pane, unit),
    // the open sheet already says all of it
    tipOnFocus: (pane, unit) => (card.el.hidden || !card.el.classList.contains("uv-sheet")) && showTip(store, tip, pane, unit),
    tipAt: (name, position) => {
      const unit = panes[name].unitAt(position);
      if (unit) showTip(store, tip, panes[name], unit);
    },
    hideTip: () => tip.hideSoon(),
  };
  return { actions, attach: (part) => (card = part) };
}

function showTip(store, tip, pane, unit) {
  const row = worstRow(pane.context(), unit.positions);
  if (!row) return tip.hide();
  const [first] = topOf(row, "base");
  const lines = [
    h("p", { class: "uv-tip-text" }, "“", h("b", null, h("bdi", null, wordName(row.text))), `”, ${placeOf(row)}`),
    row.cls === "n" ? [] : h("p", { class: "uv-tip-more" }, `P base ${probability(row.pb)}, P aligned ${probability(row.pa)}, KL ${distance(row, row.kl)} nats${row.open === null ? "" : `, ${probability(row.open)} of the mass not covered`}`),
  ];
  if (row.rank > 1 && first) {
    lines.push(h("p", { class: "uv-tip-more" }, "the base first: ", h("bdi", { class: "uv-mono" }, tokenName(first.text)), ` ${probability(first.p)}`));
  }
  return tip.showUnder(pane.el, unit.mark, ...lines);
}

/* Bring the token above the sheet and the card into sight, moving the page as little as possible. A sheet that the
   top of the view still holds down comes up to its place at the window's edge as the page moves. */
function reveal(pane, position, card) {
  const unit = pane.unitAt(position);
  if (!unit) return;
  const box = unit.mark.getBoundingClientRect();
  const limit = window.innerHeight - (parseFloat(getComputedStyle(card).bottom) || 0) - card.offsetHeight - 12;
  const bar = pane.el.closest(".uv-sides").querySelector(".uv-top");
  const top = getComputedStyle(bar).position === "sticky" ? bar.offsetHeight + 12 : 12;
  const by = box.bottom > limit ? box.bottom - limit : box.top < top ? box.top - top : 0;
  if (by) window.scrollBy({ top: by, behavior: calmMotion() ? "auto" : "smooth" });
}

/* What a first look should open: an early shifted word that the prompt brings nearer, or the nearest to it. */
function tellingPosition(store) {
  const context = primaryContext(store);
  if (!context) return null;
  const rows = context.rows.filter((row) => row && !row.special);
  const other = store.contexts[context.name === "zero_shot" ? "urial" : "zero_shot"];
  const word = (row) => /\p{L}{3}/u.test(row.text);
  const nearer = (row) => other && other.rows[row.position] && (other.rows[row.position].rank || Infinity) < row.rank;
  const tests = [
    (row) => row.cls === "s" && word(row) && row.position > 5 && nearer(row),
    (row) => row.cls === "s" && word(row),
    (row) => row.cls === "s",
    (row) => row.cls === "m",
    () => true,
  ];
  const found = tests.map((test) => rows.find(test)).find(Boolean);
  return found ? found.position : null;
}
