/* A comparison as a picture for a slide, PNG or SVG: the question, both answers (or the aligned one alone), the marks'
   meaning, the shares, names, date and address. Knows the store and the palette. */

const PICTURE = { width: 1100, margin: 40, gap: 40, size: 19, line: 36, scale: 2 };

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

/* Buttons that save the picture as a file, and the choice of the aligned answer alone. */
function pictureButtons(store, root) {
  const saver = (label, name, draw) => {
    const save = async () => {
      const link = h("a", { href: URL.createObjectURL(await draw(store, root)), download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    };
    return h("button", { type: "button", class: "uv-button uv-small-button", on: { click: save } }, label);
  };
  const alone = checkbox("the aligned answer alone", (value) => (store.ui.alone = value));
  return h("span", { class: "uv-save" }, saver("Save as picture", "urial.png", drawPicture), saver("as SVG", "urial.svg", drawSvg), alone.el);
}

/* Resolves to a Blob. The picture shows classes in the context that is in sight. */
async function drawPicture(store, root) {
  await nameModels(store);
  const palette = paletteOf(root);
  const measure = textMeasure();
  const height = layOut(silentPen(measure), store, palette);
  const canvas = document.createElement("canvas");
  canvas.width = PICTURE.width * PICTURE.scale;
  canvas.height = Math.min(16000, height * PICTURE.scale); // browsers refuse taller canvases
  const context = canvas.getContext("2d");
  context.scale(PICTURE.scale, PICTURE.scale);
  const pen = canvasPen(measure, context);
  pen.box(0, 0, PICTURE.width, height, palette.card);
  layOut(pen, store, palette);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("This browser could not make a picture."))), "image/png");
  });
}

/* The same as SVG, which scales without loss; its text stays text. */
async function drawSvg(store, root) {
  await nameModels(store);
  const palette = paletteOf(root);
  const measure = textMeasure();
  const height = layOut(silentPen(measure), store, palette);
  const pen = svgPen(measure, PICTURE.width, height);
  pen.box(0, 0, PICTURE.width, height, palette.card);
  layOut(pen, store, palette);
  return new Blob([new XMLSerializer().serializeToString(pen.root)], { type: "image/svg+xml" });
}

/* Draw from top to bottom; returns the height. */
function layOut(pen, store, palette) {
  const { margin, size, width } = PICTURE;
  const whole = { left: margin, right: width - margin };
  const write = (text, y, font, colour, step, frame = whole) => wrapped(pen, text, y, `${font} ${palette.font}`, palette[colour], step, frame);
  let y = write(visible(store.meta ? store.meta.query : ""), margin + size, `600 ${size + 3}px`, "ink", 34);
  y = write(visible(pictureNames(store)), y + 2, "15px", "soft", 24) + 16;
  const bottoms = pictureColumns(store).map(({ title, hint, parts, frame }) => {
    const head = write(title, y, "600 17px", "ink", 22, frame);
    return drawParts(pen, parts, frame, write(hint, head, "14px", "soft", 22, frame) + 12, palette);
  });
  y = write(pictureScore(store), Math.max(...bottoms) + 44, "600 17px", "ink", 28);
  y = write(`underlined: shifted, with its base rank; dotted: marginal; plain: unshifted${unscoredNote(store)}`, y, "15px", "soft", 24);
  y = write(pictureSource(), y, "13px", "soft", 22);
  return y + margin - size;
}

/* Both answers side by side, or the aligned one over the whole width. */
function pictureColumns(store) {
  const { margin, gap, width } = PICTURE;
  const middle = width / 2;
  const settings = store.meta && store.meta.settings;
  const context = primaryContext(store);
  const rows = context ? context.rows.filter((row) => !row.special) : [];
  const aligned = { title: "Aligned", hint: "its chat-tuned sibling", parts: rows.flatMap(pictureParts) };
  if (store.ui.alone) return [{ ...aligned, frame: { left: margin, right: width - margin } }];
  const text = visible(store.sides.base ? store.sides.base.text : "");
  const parts = (text.match(/\n|[^\S\n]+|\S{1,40}/gu) || []).map((part) => ({ text: part, cls: "u", rank: "" }));
  const base = { title: "Base", hint: `never tuned${settings ? `, prompted with ${methodName(settings)}` : ""}`, parts };
  return [
    { ...base, frame: { left: margin, right: middle - gap / 2 } },
    { ...aligned, frame: { left: middle + gap / 2, right: width - margin } },
  ];
}

function pictureNames(store) {
  const context = primaryContext(store);
  if (!store.meta || !store.meta.pair || !context) return "";
  const { base, aligned } = store.meta.pair;
  const sees = `which sees ${contextNames(store.meta.settings)[context.name]}`;
  if (store.meta.title) return `${store.meta.title}: the aligned answer, marked by rank under the base, ${sees}`;
  return `${aligned}, marked by rank under ${base}, ${sees}`;
}

/* People's name for the pair, where the host knows one; else the picture has the models' own names. */
async function nameModels(store) {
  if (store.titleOf && store.meta && store.meta.pair) store.meta.title = await store.titleOf(store.meta.pair.name);
}

function pictureScore(store) {
  const context = primaryContext(store);
  if (!context) return "";
  const tallied = headline(store, context);
  const left = tally(store, context).n - tallied.n;
  return `${CLASS_ORDER.map((cls) => `${shareOf(tallied, cls)} ${CLASS_NAMES[cls]}`).join(", ")}, n = ${whole(tallied.n)}${left ? `, ${plural(left, "repeated token")} left out` : ""}`;
}

function unscoredNote(store) {
  const context = primaryContext(store);
  const count = context ? unscoredRows(store, context).length : 0;
  return count ? `; dashed, with a question mark: not scored (${whole(count)}), in no share` : "";
}

/* The day of saving, and where it was seen; a file on a computer has no address to tell. */
function pictureSource() {
  const { protocol, origin, pathname } = window.location;
  const address = protocol.startsWith("http") ? `, ${origin}${pathname}` : "";
  return `URIAL side by side, saved ${new Date().toLocaleDateString(undefined, { dateStyle: "long" })}${address}`;
}

/* A text broken at blanks; returns the next line's y. */
function wrapped(pen, text, y, font, colour, step, frame) {
  let line = "";
  for (const word of text.split(/(?<=\s)/u)) {
    if (line && pen.measure(line + word, font) > frame.right - frame.left) {
      pen.text(line, frame.left, y, font, colour);
      y += step;
      line = "";
    }
    line += word;
  }
  pen.text(line, frame.left, y, font, colour);
  return y + step;
}

/* Parts flow like words: a line breaks before a part that does not fit, and no line starts with a space. */
function drawParts(pen, parts, frame, top, palette) {
  let x = frame.left;
  let y = top;
  const newLine = () => ([x, y] = [frame.left, y + PICTURE.line]);
  for (const part of parts) {
    if (part.text === "\n") newLine();
    if (part.text === "\n") continue;
    if (x + partWidth(pen, part, palette) > frame.right && x > frame.left) newLine();
    const shown = x === frame.left ? { ...part, text: part.text.trimStart() } : part;
    drawPart(pen, shown, x, y, palette);
    x += partWidth(pen, shown, palette);
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

function rankWidth(pen, part, palette) {
  return part.rank ? pen.measure(part.rank, partFonts(palette).rank) + 3 : 0;
}

function partWidth(pen, part, palette) {
  return pen.measure(part.text, partFonts(palette).text) + rankWidth(pen, part, palette);
}

function drawPart(pen, part, x, y, palette) {
  const fonts = partFonts(palette);
  const core = part.text.trim();
  if (core === "") return;
  const from = x + pen.measure(part.text.slice(0, part.text.length - part.text.trimStart().length), fonts.text);
  const wide = pen.measure(core, fonts.text);
  const isMarked = part.cls !== "u";
  if (isMarked) markPart(pen, part.cls, from, y, wide + rankWidth(pen, part, palette), palette);
  pen.text(core, from, y, fonts.text, isMarked ? palette[`${part.cls}-ink`] : palette.ink);
  if (part.rank) pen.text(part.rank, from + wide + 1.5, y - 8, fonts.rank, palette[`${part.cls}-ink`]);
}

function markPart(pen, cls, x, y, wide, palette) {
  pen.box(x - 1, y - 19, wide + 2, 25, palette[cls]);
  pen.line(x - 1, x + wide + 1, y + 7, palette[`${cls}-line`], { m: [2, 3], n: [7, 4] }[cls] || []);
}
