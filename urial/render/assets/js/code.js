/* Fenced code in an answer: where it is, so that it is shown in a fixed-width face. Knows only text. */

const FENCE = /^ {0,3}(?:(`{3,})[^`]*$|(~{3,}))/; // the name of a language holds no backtick

/* [{code, from, to}]: an answer cut at the lines that open and close a block; the fences belong to the code. A block
   that is still open runs to the end. */
function codeParts(text) {
  const parts = [];
  let fence = "";
  let at = 0;
  const add = (code, to) => {
    const last = parts[parts.length - 1];
    if (last && last.code === code) last.to = to;
    else if (to > at) parts.push({ code, from: at, to });
    at = to;
  };
  for (const line of text.split(/(?<=\n)/)) {
    const [, ticks, waves] = FENCE.exec(line) || [];
    const sign = ticks || waves || "";
    const isEnd = fence !== "" && sign.startsWith(fence) && line.trim() === sign;
    const isCode = fence !== "" || sign !== "";
    if (fence === "") fence = sign;
    else if (isEnd) fence = "";
    add(isCode, at + line.length);
  }
  return parts;
}

/* Of each piece, whether it begins inside a block. */
function codePieces(pieces) {
  const parts = codeParts(pieces.map((piece) => piece.text).join(""));
  if (!parts.some((part) => part.code)) return null;
  let at = 0;
  let k = 0;
  return pieces.map(({ text }) => {
    while (k < parts.length - 1 && at >= parts[k].to) k += 1;
    at += text.length;
    return parts[k].code;
  });
}

/* A plain answer that grows: a text node, in it or in a span for code, for each part. */
function createPlainAnswer() {
  const el = h("div", { class: "uv-answer uv-plain", dir: "auto" });
  const shown = [];
  function show(text) {
    const parts = codeParts(text);
    const keep = parts.findIndex((part, i) => !shown[i] || shown[i].code !== part.code);
    shown.splice(keep < 0 ? parts.length : keep).forEach((part) => part.el.remove());
    parts.forEach((part, i) => {
      if (!shown[i]) {
        const node = rawText("");
        shown.push({ code: part.code, node, el: part.code ? h("span", { class: "uv-fixed" }, node) : node });
        el.append(shown[i].el);
      }
      growRaw(shown[i].node, text.slice(part.from, part.to));
    });
  }
  return { el, show };
}
