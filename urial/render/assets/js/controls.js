/* What the reader can choose: what the base sees, the colours, the filters. Knows the store's `ui` and nothing else. */

const SEES_BOTH = "both";

function createControls(store, term, host) {
  const set = (key) => (value) => {
    store.ui[key] = value;
    store.changed("ui");
    host.emit("choose", { ...store.ui });
  };
  const seesBox = h("div", { class: "uv-control" });
  const modes = [["class", "class"], ["rank", "rank"], ["kl", "KL"], ["gap", "gap"], ["needs", "tuning needed"]];
  const mode = choices("Colour", modes.map(([value, label]) => ({ value, label })), store.ui.mode, set("mode"));
  const checks = [
    checkbox("only shifted", set("onlyShifted")),
    checkbox("spaces and line breaks", set("spaces")),
    checkbox("whole words", set("words")),
    checkbox("count the end token", set("countEnd")),
  ];
  const bounds = createThresholds(store, set("thresholds"));
  const boxes = { onlyShifted: 0, spaces: 1, words: 2, countEnd: 3 };
  const el = h("div", { class: "uv-controls" }, seesBox, h("div", { class: "uv-control uv-colour" }, mode.el));
  const quiet = h("div", { class: "uv-quiet" }, checks.map((check) => check.el), bounds.el);
  let offered = null;
  let sees = null;

  function update() {
    const held = offeredContexts(store);
    const names = contextNames(store.meta && store.meta.settings);
    const key = held.map((name) => names[name]).join("|");
    if (key !== offered) {
      offered = key;
      const options = held.map((name) => ({ value: name, label: names[name] }));
      if (held.length === 2) options.push({ value: SEES_BOTH, label: "both" });
      sees = choices(term("context"), options, "", set("sees"));
      replace(seesBox, held.length ? sees.el : []);
    }
    const shown = shownContexts(store);
    sees.show(shown.length === 2 ? SEES_BOTH : shown[0] || store.ui.sees);
    mode.show(store.ui.mode);
    for (const [name, i] of Object.entries(boxes)) checks[i].input.checked = store.ui[name];
    bounds.el.hidden = store.ui.mode !== "rank";
  }
  return { el, quiet, update };
}

/* Three bounds that cut ranks into five bands; they must grow. */
function createThresholds(store, set) {
  const inputs = store.ui.thresholds.map((value, i) => {
    const label = ["first bound", "second bound", "third bound"][i];
    const input = h("input", { type: "number", min: "2", step: "1", class: "uv-bound", "aria-label": `Rank bands, ${label}` });
    input.value = String(value);
    return input;
  });
  const problem = h("span", { class: "uv-problem", role: "status" });
  const read = () => {
    const values = inputs.map((input) => Number(input.value));
    const good = values.every((value, i) => Number.isInteger(value) && value > (i ? values[i - 1] : 1));
    inputs.forEach((input) => input.setAttribute("aria-invalid", String(!good)));
    setText(problem, good ? "" : "Use three whole numbers that grow, the first at least 2.");
    if (good) set(values);
  };
  inputs.forEach((input) => input.addEventListener("input", read));
  return { el: h("span", { class: "uv-bounds", hidden: true }, "bands end at rank", inputs, problem) };
}
