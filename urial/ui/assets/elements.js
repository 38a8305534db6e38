/* Elements made from data: text reaches the page only as text nodes and attribute values, never as markup. */

function make(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [type, fn] of Object.entries(value)) element.addEventListener(type, fn);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function button(label, onClick, props) {
  return make("button", { type: "button", class: "pg-button", ...(props || {}), on: { click: onClick } }, label);
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/* Invisible characters that could reorder or hide text around them, shown as their code. */
function plainText(text) {
  return String(text).replace(/[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (char) =>
    `\u27e8U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`,
  );
}

/* 128 random bits; `randomUUID` needs https, this does not. */
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function saveAs(name, blob) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function calm() {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/* A window with room for one answer (the view's own bound, and the style sheet's). */
function isNarrow() {
  return window.matchMedia("(max-width: 760px)").matches;
}
