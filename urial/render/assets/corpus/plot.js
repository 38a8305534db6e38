/* Plots of a corpus as SVG drawn for the width at hand, with a table behind each and three ways to keep it. */

const PLOT = { height: 230, left: 46, right: 12, top: 12, bottom: 34 };

/* A figure: title, plot, table, downloads. `draw(width)` gives an SVG; `table` is {head: [...], rows: [[...]]}. */
function figure(title, note, draw, table) {
  const stage = h("div", { class: "uc-stage" });
  const redraw = () => replace(stage, draw(Math.max(280, Math.min(stage.clientWidth || 640, 1100))));
  const behind = folded("Table", `${table.rows.length} rows`, (body) => replace(body, dataTable(title, table)));
  const keep = h(
    "div",
    { class: "uc-keep" },
    keepButton(`${title} as SVG`, "SVG", () => saveFile(`${stem(title)}.svg`, svgBlob(stage.querySelector("svg")))),
    keepButton(`${title} as PNG`, "PNG", async () => saveFile(`${stem(title)}.png`, await pngBlob(stage.querySelector("svg")))),
    keepButton(`${title} as CSV`, "CSV", () => saveFile(`${stem(title)}.csv`, csvBlob(table))),
  );
  const el = h("section", { class: "uv-panel uc-figure" }, h("h3", { class: "uv-title" }, title), note && h("p", { class: "uc-note" }, note), stage, keep, behind.el);
  new ResizeObserver(() => stage.clientWidth !== stage.uc && ((stage.uc = stage.clientWidth), redraw())).observe(stage);
  redraw();
  return el;
}

function keepButton(label, text, run) {
  return h("button", { type: "button", class: "uv-button uv-small-button", "aria-label": label, on: { click: run } }, text);
}

function dataTable(caption, { head, rows }) {
  const cells = (row) => row.map((cell) => h("td", null, h("bdi", null, visible(String(cell === null ? "" : cell)))));
  return h(
    "div",
    { class: "uc-scroll", tabindex: "0", role: "region", "aria-label": `${caption}, table` },
    h("table", { class: "uv-table" }, h("caption", { class: "uv-offscreen" }, caption), h("thead", null, h("tr", null, head.map((name) => h("th", { scope: "col" }, name)))), h("tbody", null, rows.map((row) => h("tr", null, cells(row))))),
  );
}

function stem(title) {
  return `urial-corpus-${title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "")}`;
}

function saveFile(name, blob) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/* A text cell that a spreadsheet would run gets an apostrophe. */
function csvBlob({ head, rows }) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    const calm = typeof value !== "number" && /^[\s\u00a0]*[=+\-@\t\r\n＝＋－＠]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(calm) ? `"${calm.replaceAll('"', '""')}"` : calm;
  };
  return new Blob([[head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n"], { type: "text/csv" });
}

/* The picture alone: colours that come from the page are written into it. */
function svgText(picture) {
  const copy = picture.cloneNode(true);
  const own = [picture, ...picture.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((element, index) => {
    const style = getComputedStyle(own[index]);
    for (const name of ["fill", "stroke", "stroke-width", "stroke-dasharray", "fill-opacity", "font-size", "font-family", "text-anchor"]) element.style.setProperty(name, style.getPropertyValue(name));
  });
  copy.setAttribute("xmlns", SVG);
  copy.style.background = getComputedStyle(document.querySelector(".uc")).getPropertyValue("background-color");
  return new XMLSerializer().serializeToString(copy);
}

function svgBlob(picture) {
  return new Blob([svgText(picture)], { type: "image/svg+xml" });
}

async function pngBlob(picture) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgText(picture))}`;
  await image.decode();
  const canvas = h("canvas", { width: String(picture.clientWidth * 2), height: String(picture.clientHeight * 2) });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

/* Round steps that cover 0 to `most`. */
function ticks(most, wanted = 4) {
  if (!(most > 0)) return [0, 1];
  const raw = most / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
  const count = Math.ceil(most / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(6)));
}

/* Lines with bands over positions, and n beneath. `series`: [{name, kind, low, high, line}], `n`: counts. */
function linePlot(width, { series, n, xTitle, yTitle, percent }) {
  const { left, right, top } = PLOT;
  const height = PLOT.height + 46;
  const high = Math.max(...series.flatMap((one) => [...one.line, ...one.high]).filter((value) => value !== null), 0);
  const marks = ticks(high);
  const floor = PLOT.height - PLOT.bottom;
  const x = (index) => left + ((width - left - right) * (n.length > 1 ? index / (n.length - 1) : 0.5));
  const y = (value) => floor - ((floor - top) * value) / marks[marks.length - 1];
  const label = (value) => (percent ? `${Math.round(100 * value)} %` : String(value));
  const grid = marks.map((value) => [
    svg("line", { x1: left, x2: width - right, y1: y(value), y2: y(value), class: "uc-grid" }),
    svg("text", { x: left - 6, y: y(value) + 4, class: "uc-tick", "text-anchor": "end" }, label(value)),
  ]);
  const curves = series.map((one) => [
    svg("path", { d: bandPath(one.low, one.high, x, y), class: `uc-band uc-${one.kind}` }),
    svg("path", { d: linePath(one.line, x, y), class: `uc-line uc-${one.kind}` }),
  ]);
  const base = height - 22;
  const most = Math.max(...n, 1);
  const bars = n.map((count, index) => svg("rect", { x: x(index) - 1.5, y: base - (26 * count) / most, width: 3, height: Math.max((26 * count) / most, 0.5), class: "uc-n" }));
  const places = [...new Set([0, Math.round((n.length - 1) / 2), n.length - 1])].filter((index) => index >= 0);
  const below = places.map((index) => svg("text", { x: x(index), y: height - 6, class: "uc-tick", "text-anchor": "middle" }, xTitle.at(index)));
  const names = [svg("text", { x: left, y: 9, class: "uc-tick" }, yTitle), svg("text", { x: left - 6, y: base, class: "uc-tick", "text-anchor": "end" }, "n")];
  const words = `${yTitle}, ${series.map((one) => one.name).join(" and ")}, over ${n.length} places; the table below holds its numbers`;
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": words }, grid, curves, bars, below, names);
}

function linePath(values, x, y) {
  let pen = "M";
  return values.map((value, index) => (value === null ? ((pen = "M"), "") : `${pen}${x(index).toFixed(1)} ${y(value).toFixed(1)}${((pen = "L"), "")}`)).join("");
}

function bandPath(low, high, x, y) {
  const there = low.map((_, index) => index).filter((index) => low[index] !== null && high[index] !== null);
  if (there.length < 2) return "";
  const up = there.map((index) => `${x(index).toFixed(1)} ${y(high[index]).toFixed(1)}`);
  const down = there.reverse().map((index) => `${x(index).toFixed(1)} ${y(low[index]).toFixed(1)}`);
  return `M${[...up, ...down].join("L")}Z`;
}
