/* Elements made from data. Text reaches the page only as text nodes and attribute values, never as markup;
   attribute names are always literals of this program. Knows nothing about comparisons. */

const SVG = "http://www.w3.org/2000/svg";
let idCounter = 0;

function uniqueId(stem) {
  idCounter += 1;
  return `urial-${stem}-${idCounter}`;
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [type, fn] of Object.entries(value)) element.addEventListener(type, fn);
    else if (name === "css") for (const [key, item] of Object.entries(value)) element.style.setProperty(key, item);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/* h("p", {class: "uv-x", on: {click}}, "text", child): strings become text nodes. */
function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function replace(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function calmMotion() {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/* A button that copies; it says so for two seconds, and selects nothing. */
function copyButton(label, textOf) {
  const button = h("button", { type: "button", class: "uv-button uv-small-button" }, label);
  button.addEventListener("click", async () => {
    const done = await copyText(textOf());
    setText(button, done ? "Copied" : "Press Ctrl+C");
    setTimeout(() => setText(button, label), 2000);
  });
  return button;
}

/* The clipboard API wants a secure context; a file:// page or a plain-http host falls back to a hidden text area. */
async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch (refused) {
      return copyThroughTextArea(text);
    }
  }
  return copyThroughTextArea(text);
}

function copyThroughTextArea(text) {
  const before = document.activeElement;
  const area = h("textarea", { class: "uv-offscreen", readonly: true, "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.style.position = "fixed";
  area.style.opacity = "0";
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (before && before.focus) before.focus({ preventScroll: true });
  return done;
}

/* A row of choices: native radios, so that arrow keys and screen readers work without help. */
function choices(legend, options, current, onPick) {
  const name = uniqueId("choice");
  const inputs = new Map();
  const items = options.map(({ value, label }) => {
    const input = h("input", { type: "radio", name, value, on: { change: () => onPick(value) } });
    inputs.set(value, input);
    return h("label", { class: "uv-choice" }, input, h("span", null, label));
  });
  const field = h("fieldset", { class: "uv-choices" }, h("legend", null, legend), h("div", { class: "uv-segments" }, items));
  const show = (value) => inputs.has(value) && (inputs.get(value).checked = true);
  show(current);
  return { el: field, show, inputs };
}

function checkbox(label, onChange) {
  const input = h("input", { type: "checkbox", on: { change: () => onChange(input.checked) } });
  return { el: h("label", { class: "uv-check" }, input, h("span", null, label)), input };
}

/* A folded panel whose body is made when it is first opened. */
function folded(title, hint, build) {
  const body = h("div", { class: "uv-fold-body" });
  const summary = h("summary", null, h("span", { class: "uv-fold-title" }, title), hint && h("span", { class: "uv-soft" }, hint));
  const el = h("details", { class: "uv-panel uv-fold" }, summary, body);
  let stale = true;
  const refresh = () => {
    if (!el.open || !stale) return;
    stale = false;
    build(body);
  };
  el.addEventListener("toggle", refresh);
  return { el, body, invalidate: () => ((stale = true), refresh()) };
}
