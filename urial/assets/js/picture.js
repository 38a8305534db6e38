/* The coloured answer, its legend and its score as a PNG, drawn on a canvas. Knows the store and the palette. */

const PICTURE = { width: 1100, margin: 40, size: 19, line: 36, scale: 2 };

function paletteOf(root) {
  const probe = h("span", { hidden: true });
  root.append(probe);
  const read = (name) => {
    probe.style.color = `var(--uv-${name})`;
    return getComputedStyle(probe).color;
  };
  const names = ["card", "ink", "soft", "line", "m", "m-ink", "m-line", "s", "s-ink", "s-line"];
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
  y = write.wrapped("underlined: shifted, with its base rank; dotted: marginal; plain: unshifted", y, `15px ${palette.font}`, palette.soft, 24);
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

/* Tokens flow like words: a line breaks before a token that starts with a space and does not fit. */
function drawTokens(pen, rows, palette, top, draws) {
  const { margin, width, size, line } = PICTURE;
  let x = margin;
  let y = top;
  for (const row of rows) {
    if (row.special) continue;
    for (const part of visible(row.text).split(/(\n)/u)) {
      if (part === "\n") [x, y] = [margin, y + line];
      if (part === "\n" || part === "") continue;
      pen.font = `${size}px ${palette.font}`;
      const wide = pen.measureText(part).width + (row.cls === "s" ? 12 : 0);
      if (x + wide > width - margin) [x, y] = [margin, y + line];
      if (draws) drawToken(pen, row, part, x, y, palette);
      x += wide;
    }
  }
  return y;
}

function drawToken(pen, row, part, x, y, palette) {
  const lead = pen.measureText(part.slice(0, part.length - part.trimStart().length)).width;
  const core = part.trim();
  const wide = pen.measureText(core).width + (row.cls === "s" ? 12 : 0);
  const marked = row.cls !== "u" && core !== "";
  if (marked) markToken(pen, row.cls, x + lead, y, wide, palette);
  pen.fillStyle = marked ? palette[`${row.cls}-ink`] : palette.ink;
  pen.font = `${PICTURE.size}px ${palette.font}`;
  pen.fillText(core, x + lead, y);
  if (row.cls !== "s" || core === "") return;
  pen.font = `10px ${palette.font}`;
  pen.fillText(String(row.rank), x + lead + wide - 11, y - 9);
}

function markToken(pen, cls, x, y, wide, palette) {
  pen.fillStyle = palette[cls];
  pen.fillRect(x - 1, y - 19, wide + 2, 25);
  pen.strokeStyle = palette[`${cls}-line`];
  pen.lineWidth = 2.5;
  pen.setLineDash(cls === "m" ? [2, 3] : []);
  pen.beginPath();
  pen.moveTo(x - 1, y + 7);
  pen.lineTo(x + wide + 1, y + 7);
  pen.stroke();
  pen.setLineDash([]);
}
