/* The glossary on hover and focus, the exact formula one click away; and the small tip beside a token.
   Knows the words and where on the page a thing is; knows nothing about comparisons. */

function createTip(root) {
  const tip = h("div", { class: "uv-tip", hidden: true });
  let timer = 0;
  /* Beside the anchor; of a token under the last line of its text (`text`), or at the window's foot: no line that is
     being read is covered. */
  const place = (anchor, text) => {
    const frame = root.getBoundingClientRect();
    const box = anchor.getClientRects()[0] || anchor.getBoundingClientRect();
    tip.hidden = false;
    const width = tip.offsetWidth;
    const left = Math.min(Math.max(0, box.left - frame.left), Math.max(0, frame.width - width));
    const above = box.top - tip.offsetHeight - 8;
    const near = above > 0 ? above : box.bottom + 8;
    const foot = text ? Math.min(text.getBoundingClientRect().bottom, window.innerHeight - tip.offsetHeight - 8) : 0;
    const top = text && foot > box.bottom ? foot : near;
    tip.style.left = `${left}px`;
    tip.style.top = `${top - frame.top}px`;
  };
  const fill = (content) => (clearTimeout(timer), replace(tip, ...content));
  const show = (anchor, ...content) => (fill(content), place(anchor));
  const showUnder = (text, anchor, ...content) => (fill(content), place(anchor, text));
  const hide = () => {
    clearTimeout(timer);
    tip.hidden = true;
  };
  const hideSoon = () => {
    clearTimeout(timer);
    timer = setTimeout(hide, 180);
  };
  tip.addEventListener("pointerenter", () => clearTimeout(timer));
  tip.addEventListener("pointerleave", hideSoon);
  root.append(tip);
  return { el: tip, show, showUnder, hide, hideSoon };
}

/* A word that explains itself: hover or focus shows its meaning, a click adds the exact definition. */
function createGlossary(tip, root) {
  const describe = createDescriptions(root);
  return (key, label) => {
    const entry = GLOSSARY[key];
    const button = h("button", { type: "button", class: "uv-term", "aria-expanded": "false" }, label || entry.word);
    const meaning = () => h("p", { class: "uv-tip-text" }, h("b", null, entry.word), ": ", entry.says);
    const brief = () => {
      if (button.getAttribute("aria-expanded") === "true") return;
      tip.show(button, meaning(), h("p", { class: "uv-tip-more" }, "Click for the exact definition."));
    };
    const close = () => {
      button.setAttribute("aria-expanded", "false");
      tip.hideSoon();
    };
    const pin = () => {
      button.setAttribute("aria-expanded", "true");
      tip.show(button, meaning(), h("p", { class: "uv-formula" }, entry.exact));
    };
    button.setAttribute("aria-describedby", describe(key));
    button.addEventListener("pointerenter", brief);
    button.addEventListener("focus", brief);
    button.addEventListener("pointerleave", () => button.getAttribute("aria-expanded") === "false" && tip.hideSoon());
    button.addEventListener("blur", close);
    button.addEventListener("click", () => (button.getAttribute("aria-expanded") === "true" ? close() : pin()));
    button.addEventListener("keydown", (event) => event.key === "Escape" && (close(), tip.hide()));
    return button;
  };
}

/* The meaning of each word once, away from headings and cells: screen readers say it with the word, wherever the tip is. */
function createDescriptions(root) {
  const box = h("div", { hidden: true });
  const ids = new Map();
  root.append(box);
  return (key) => {
    if (!ids.has(key)) {
      const { says, exact } = GLOSSARY[key];
      ids.set(key, uniqueId("term"));
      box.append(h("span", { id: ids.get(key) }, `${says} Exactly: ${exact}`));
    }
    return ids.get(key);
  };
}

/* All words on one list, for reading and for print. */
function createWordList() {
  const panel = folded("Words and exact definitions", "what each number means", (body) => {
    const rows = Object.values(GLOSSARY).map((entry) =>
      h("div", null, h("dt", null, entry.word), h("dd", null, entry.says, h("span", { class: "uv-formula" }, entry.exact))),
    );
    replace(body, h("dl", { class: "uv-words" }, rows));
  });
  return { el: panel.el, update() {} };
}
