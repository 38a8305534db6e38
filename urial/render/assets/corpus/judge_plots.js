/* Plots of a judge's figures: two bars an aspect, differences about zero, who won. Every bar has its words beside it. */

const AXIS = { left: 64, right: 108, title: 16, bar: 14, gap: 10, foot: 24 };

/* Scores from 1 to 5. `rows`: [{name, base: {mean, interval, n}, aligned: {same}}]. */
function scorePlot(width, rows) {
  const x = (points) => AXIS.left + ((width - AXIS.left - AXIS.right) * (points - 1)) / 4;
  const each = AXIS.title + 2 * (AXIS.bar + 3) + AXIS.gap;
  const height = rows.length * each + AXIS.foot;
  const groups = rows.map((row, index) => [
    svg("text", { x: 0, y: index * each + 12, class: "uc-name" }, row.name),
    ["base", "aligned"].map((side, place) => scoreBar(x, index * each + AXIS.title + place * (AXIS.bar + 3), side, row[side], width)),
  ]);
  const words = "Mean score of both answers by aspect, from 1 to 5 points; the table below holds its numbers";
  return judgePicture(width, height, words, grid([1, 2, 3, 4, 5], x, height), groups);
}

function scoreBar(x, top, side, found, width) {
  const middle = top + AXIS.bar / 2;
  const name = svg("text", { x: AXIS.left - 6, y: middle + 4, class: "uc-tick", "text-anchor": "end" }, side);
  const value = (text) => svg("text", { x: width - AXIS.right + 8, y: middle + 4, class: "uc-value" }, text);
  if (!found || found.mean === null) return [name, value("not scored")];
  const bar = svg("rect", { x: x(1), y: top, width: Math.max(x(found.mean) - x(1), 1), height: AXIS.bar, class: `uc-side uc-${side}` });
  return [name, bar, whisker(found.interval, x, middle), value(`${found.mean.toFixed(2)}${limitsText(found.interval)}`)];
}

/* Aligned less base, paired by question. `rows`: [{name, mean, interval, n}]. */
function differencePlot(width, rows) {
  const far = Math.max(0.5, ...rows.flatMap((row) => [row.mean, ...(row.interval || [])]).filter((value) => value !== null).map(Math.abs));
  const marks = [-far, 0, far];
  const [left, right] = [8, AXIS.right + 20]; // signs need room
  const x = (value) => left + ((width - left - right) * (value + far)) / (2 * far);
  const each = AXIS.title + AXIS.bar + AXIS.gap;
  const height = rows.length * each + AXIS.foot;
  const groups = rows.map((row, index) => {
    const middle = index * each + AXIS.title + AXIS.bar / 2;
    const text = row.mean === null ? "not scored" : `${signed(row.mean)}${limitsText(row.interval)}`;
    const point = row.mean === null ? null : [whisker(row.interval, x, middle), svg("circle", { cx: x(row.mean), cy: middle, r: 4, class: "uc-point" })];
    return [svg("text", { x: 0, y: index * each + 12, class: "uc-name" }, row.name), point, svg("text", { x: width - right + 8, y: middle + 4, class: "uc-value" }, text)];
  });
  const words = "Aligned less base by aspect, in points, with intervals; the table below holds its numbers";
  return judgePicture(width, height, words, grid(marks, x, height, signed), groups);
}

/* Questions won. `rows`: [{name, base, tie, aligned, n}]. */
function outcomePlot(width, rows) {
  const each = AXIS.title + AXIS.bar + AXIS.gap;
  const height = rows.length * each + AXIS.foot;
  const room = width - AXIS.right;
  const x = (share) => room * share;
  const groups = rows.map((row, index) => {
    const top = index * each + AXIS.title;
    let begin = 0;
    const parts = ["base", "tie", "aligned"].map((name) => {
      const part = svg("rect", { x: x(begin), y: top, width: x(row.n ? row[name] / row.n : 0), height: AXIS.bar, class: `uc-side uc-${name}` });
      begin += row.n ? row[name] / row.n : 0;
      return part;
    });
    const text = row.n ? `${row.base} · ${row.tie} · ${row.aligned}` : "none";
    return [svg("text", { x: 0, y: index * each + 12, class: "uc-name" }, row.name), parts, svg("text", { x: room + 8, y: top + 11, class: "uc-value" }, text)];
  });
  const words = "Questions won by base, tied, won by aligned, by aspect; the table below holds its numbers";
  const label = (share) => `${Math.round(100 * share)} %`;
  return judgePicture(width, height, words, grid([0, 0.5, 1], x, height, label), groups);
}

function judgePicture(width, height, words, ...parts) {
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": words }, parts);
}

function grid(marks, x, height, label = String) {
  return marks.map((value, index) => {
    const anchor = index === 0 ? "start" : index === marks.length - 1 ? "end" : "middle";
    return [svg("line", { x1: x(value), x2: x(value), y1: 0, y2: height - AXIS.foot + 4, class: "uc-grid" }), svg("text", { x: x(value), y: height - 6, class: "uc-tick", "text-anchor": anchor }, label(value))];
  });
}

function whisker(interval, x, y) {
  if (!interval) return null;
  const [low, high] = interval.map(x);
  return svg("path", { d: `M${low} ${y - 4}v8M${low} ${y}H${high}M${high} ${y - 4}v8`, class: "uc-whisker" });
}

function signed(value) {
  return `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(2)}`;
}

function limitsText(interval) {
  return interval ? ` [${interval.map((value) => `${value < 0 ? "−" : ""}${Math.abs(value).toFixed(1)}`).join(" ")}]` : "";
}
