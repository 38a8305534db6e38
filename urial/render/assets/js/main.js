/* UrialView.mount: puts the parts together on one element, and is what a host page talks to. */

const DEFAULTS = { theme: "auto", actions: [], continuation: false, showQuery: false, heading: "", visit: false, picture: false, under: null, titleOf: null }; // of the host: `under`, an element below the finding; `titleOf`, people’s name for a pair

function mount(root, options) {
  const settings = { ...DEFAULTS, ...(options || {}) };
  const listeners = new Map();
  const emit = (name, detail) => (listeners.get(name) || []).forEach((fn) => fn(detail));
  const host = { actions: settings.actions, continuation: settings.continuation, emit };
  const store = createStore();
  store.titleOf = settings.titleOf;
  const page = h("div", { class: "urial-view", "data-theme": settings.theme });
  const view = createView(page, store, host, settings, emit);
  view.on = (name, fn) => {
    listeners.set(name, [...(listeners.get(name) || []), fn]);
    return view;
  };
  root.append(page);
  if (settings.comparison) view.load(settings.comparison);
  else store.changed("meta");
  return view;
}

function createView(page, store, host, settings, emit) {
  const tip = createTip(page);
  const term = createGlossary(tip, page);
  const status = h("p", { class: settings.showQuery ? "uv-offscreen" : "uv-status", role: "status", "aria-live": "polite" });
  const help = h("p", { class: "uv-offscreen", id: uniqueId("help") }, "Arrow keys walk, Home and End jump, n and p go to the next and previous shifted token, Enter opens the card, Escape closes it.");
  const panes = Object.fromEntries(CONTEXTS.map((name) => [name, createPane(store, name, help.id)]));
  const cursor = createCursor(store, panes, tip, emit, () => flush());
  const parts = createParts(page, store, host, settings, term, cursor.actions, panes);
  cursor.attach(parts.card);
  parts.head.el.after(status, help);
  const flush = createScheduler(page, store, panes, parts, emit);
  return { ...createMethods(page, store, parts, status, emit), element: page, flush };
}

function createParts(page, store, host, settings, term, actions, panes) {
  for (const pane of Object.values(panes)) makeWalkable(pane, store, actions);
  const bar = createBar(store, term, host);
  const parts = {
    head: createHead(store, settings),
    bar,
    sides: createSides(store, host, panes, term, bar.el),
    score: createScore(store, term),
    curve: createCurve(store, term),
    figures: createFigures(store, term, createStrips(store, term, actions)),
    card: createCard(store, host, term, actions),
    shifted: createShifted(store, actions),
    paper: createPaper(store, term),
    visit: settings.visit ? { ...createVisit(), update() {} } : null,
    table: createTable(store),
    run: createRun(store),
    words: createWordList(),
  };
  const panel = h("section", { class: "uv-panel uv-what" });
  panel.append(h("h3", { class: "uv-title" }, "What tuning changed"), parts.score.el, parts.curve.el, parts.figures.el);
  if (settings.under) panel.append(settings.under);
  if (settings.picture) bar.quiet.append(pictureButtons(store, page));
  const left = h("div", null, parts.shifted.el, parts.visit ? parts.visit.el : [], createHelp());
  const pairOfPanels = h("div", { class: "uv-grid" }, left, parts.paper.el);
  page.append(parts.head.el, parts.sides.el, panel, parts.card.el, pairOfPanels, parts.table.el, parts.run.el, parts.words.el);
  return parts;
}

const POINTER_TOPICS = new Set(["hover", "select"]); // of these only some parts take note (`pointed`)

/* Changes are gathered and shown once a frame; tokens are built a chunk a frame. */
function createScheduler(page, store, panes, parts, emit) {
  let topics = new Set();
  let waiting = false;
  let unready = true;
  const later = () => {
    if (waiting) return;
    waiting = true;
    if (document.hidden) setTimeout(flush, 50);
    else requestAnimationFrame(flush);
  };
  function flush() {
    waiting = false;
    const now = topics;
    topics = new Set();
    page.classList.toggle("uv-show-spaces", store.ui.spaces);
    page.classList.toggle("uv-waiting", !store.meta);
    page.classList.toggle("uv-writing", store.running);
    const pointed = now.size > 0 && [...now].every((topic) => POINTER_TOPICS.has(topic));
    for (const part of Object.values(parts)) if (part && (part.pointed || !pointed)) part.update(now);
    const complete = shownPanes(store, panes).map((pane) => syncPane(pane, store, now)).every(Boolean);
    if (!complete) later();
    else if (unready && !store.running && store.pieces.length) {
      unready = false;
      emit("ready", {});
    }
  }
  store.listen((topic) => {
    topics.add(topic);
    if (topic === "meta") unready = true;
    later();
  });
  return flush;
}

function shownPanes(store, panes) {
  const shown = shownContexts(store);
  return (shown.length ? shown : ["zero_shot"]).map((name) => panes[name]);
}

function syncPane(pane, store, topics) {
  const complete = growPane(pane, store);
  paintPane(pane, store, topics.has("ui"));
  markSelection(pane, store);
  return complete;
}

window.UrialView = { mount };
