/* The coloured answer, its legend and its score as a PNG, drawn on a canvas. Knows the store and the palette. */

const PICTURE = { width: 1100, margin: 40, size: 19, line: 36, scale: 2 };

function paletteOf(root) {
  const probe = h("span", { hidden: true });
  root.append(probe);
  const read = (name) => {
    probe.style.color = `var(--uv-${name})`;
    return getComputedStyle(probe).color;
  };
  const names = ["card", "ink", "soft", "line", "m", "m-ink", "m-line", "s", "s-ink", "s-line", "n", "n-ink", "n-line"];
  const palette = Object.fromEntries(names.map((name) => [name, read(name)]));
  palette.font = getComputedStyle(root).fontFamily;
  probe.remove();
  return palette;
}

/* A button that saves the picture as a file. */
function pictureButton(store, root) {
  const save = async () => {
    const link = h("a", { href: URL.createObjectURL(await drawPicture(store, root)), download: "urial.png" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  return h("button", { type: "button", class: "uv-button uv-small-button uv-save", on: { click: save } }, "Save as picture");
}

/* Resolves to a Blob. The picture shows classes in the context that is in sight. */
function drawPicture(store, root) {
  const context = primaryContext(store);
  const palette = paletteOf(root);
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d");
  const rows = context ? context.rows : [];
  const height = layOut(pen, store, rows, palette, false);
  canvas.width = PICTURE.width * PICTURE.scale;
  canvas.height = Math.min(16000, height * PICTURE.scale); // browsers refuse taller canvases
  pen.scale(PICTURE.scale, PICTURE.scale);
  pen.fillStyle = palette.card;
  pen.fillRect(0, 0, PICTURE.width, height);
  layOut(pen, store, rows, palette, true);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("This browser could not make a picture."))), "image/png");
  });
}

/* Lay out from top to bottom, drawing when `draws`; returns the height. */
function layOut(pen, store, rows, palette, draws) {
  const { margin, size } = PICTURE;
  const write = textWriter(pen, palette, draws);
  let y = margin + size;
  y = write.wrapped(visible(store.meta ? store.meta.query : ""), y, `600 ${size + 3}px ${palette.font}`, palette.ink, 34);
  y = write.wrapped(visible(pictureTitle(store)), y + 2, `15px ${palette.font}`, palette.soft, 24);
  y = drawTokens(pen, rows, palette, y + 26, draws);
  y = write.wrapped(pictureScore(store), y + 44, `600 17px ${palette.font}`, palette.ink, 28);
  y = write.wrapped(`underlined: shifted, with its base rank; dotted: marginal; plain: unshifted${unscoredNote(store)}`, y, `15px ${palette.font}`, palette.soft, 24);
  return y + margin - size;
}

function pictureTitle(store) {
  const context = primaryContext(store);
  if (!store.meta || !store.meta.pair || !context) return "";
  return `${store.meta.pair.aligned}, coloured by rank under ${store.meta.pair.base}, which sees ${contextNames(store.meta.settings)[context.name]}`;
}

function pictureScore(store) {
  const context = primaryContext(store);
  if (!context) return "";
  const tallied = tally(store, context);
  return `${CLASS_ORDER.map((cls) => `${shareOf(tallied, cls)} ${CLASS_NAMES[cls]}`).join(", ")}, n = ${whole(tallied.n)}`;
}

function unscoredNote(store) {
  const context = primaryContext(store);
  const count = context ? unscoredRows(store, context).length : 0;
  return count ? `; dashed, with a question mark: not scored (${whole(count)}), in no share` : "";
}

function textWriter(pen, palette, draws) {
  function wrapped(text, y, font, colour, step) {
    pen.font = font;
    pen.fillStyle = colour;
    let line = "";
    const put = () => draws && pen.fillText(line, PICTURE.margin, y);
    for (const word of text.split(/(?<=\s)/u)) {
      if (pen.measureText(line + word).width > PICTURE.width - 2 * PICTURE.margin && line) {
        put();
        y += step;
        line = "";
      }
      line += word;
    }
    put();
    return y + step;
  }
  return { wrapped };
}

/* Tokens flow like words: a line breaks before a token that does not fit, and no line starts with a space. */
function drawTokens(pen, rows, palette, top, draws) {
  const right = PICTURE.width - PICTURE.margin;
  let x = PICTURE.margin;
  let y = top;
  const newLine = () => ([x, y] = [PICTURE.margin, y + PICTURE.line]);
  for (const row of rows.filter((item) => !item.special)) {
    for (const part of pictureParts(row)) {
      if (part.text === "\n") newLine();
      if (part.text === "\n") continue;
      if (x + partWidth(pen, part, palette) > right && x > PICTURE.margin) newLine();
      if (x === PICTURE.margin) part.text = part.text.trimStart();
      if (draws) drawPart(pen, part, x, y, palette);
      x += partWidth(pen, part, palette);
    }
  }
  return y;
}

/* A token cut at line breaks and, where it is very long, into pieces that fit; the rank goes with the last piece. */
function pictureParts(row) {
  const parts = visible(row.text)
    .split(/(\n)/u)
    .flatMap((text) => text.match(/[\s\S]{1,40}/gu) || [])
    .map((text) => ({ text, cls: row.cls, rank: "" }));
  const words = parts.filter(({ text }) => text.trim() !== "");
  const sign = { s: String(row.rank), n: "?" }[row.cls] || "";
  if (words.length) words[words.length - 1].rank = sign;
  return parts;
}

function partFonts(palette) {
  return { text: `${PICTURE.size}px ${palette.font}`, rank: `11px ${palette.font}` };
}

function widthOf(pen, text, font) {
  pen.font = font;
  return pen.measureText(text).width;
}

function rankWidth(pen, part, palette) {
  return part.rank ? widthOf(pen, part.rank, partFonts(palette).rank) + 3 : 0;
}

function partWidth(pen, part, palette) {
  return widthOf(pen, part.text, partFonts(palette).text) + rankWidth(pen, part, palette);
}

function drawPart(pen, part, x, y, palette) {
  const fonts = partFonts(palette);
  const core = part.text.trim();
  const from = x + widthOf(pen, part.text.slice(0, part.text.length - part.text.trimStart().length), fonts.text);
  const wide = widthOf(pen, core, fonts.text);
  const marked = part.cls !== "u" && core !== "";
  if (marked) markToken(pen, part.cls, from, y, wide + rankWidth(pen, part, palette), palette);
  pen.fillStyle = marked ? palette[`${part.cls}-ink`] : palette.ink;
  pen.font = fonts.text;
  pen.fillText(core, from, y);
  pen.font = fonts.rank;
  pen.fillText(part.rank, from + wide + 1.5, y - 8);
}

function markToken(pen, cls, x, y, wide, palette) {
  pen.fillStyle = palette[cls];
  pen.fillRect(x - 1, y - 19, wide + 2, 25);
  pen.strokeStyle = palette[`${cls}-line`];
  pen.lineWidth = 2.5;
  pen.setLineDash({ m: [2, 3], n: [7, 4] }[cls] || []);
  pen.beginPath();
  pen.moveTo(x - 1, y + 7);
  pen.lineTo(x + wide + 1, y + 7);
  pen.stroke();
  pen.setLineDash([]);
}
