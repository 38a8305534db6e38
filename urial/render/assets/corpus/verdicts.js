/* What was said of one question's answers: a judge's scores with reasons, both orders of a pair, a guard's labels. */

function verdictPanels(said, judged, method) {
  if (!said) return [];
  const of = (groups, items) => items.map((item) => ({ item, group: groups[item.group] })).filter(({ group }) => group && group.method === method);
  return [...of(judged.groups, said.verdicts).map(verdictPanel), ...of(judged.safety, said.labels).map(labelPanel)];
}

function verdictPanel({ item, group }) {
  const title = visible(groupName(group));
  return h("section", { class: "uv-panel uc-verdict" }, h("h4", { class: "uv-title" }, h("bdi", null, title)), item.error ? h("p", { class: "uc-note" }, `The call failed: ${visible(item.error)}`) : verdictBody(item, title));
}

function verdictBody(item, title) {
  const heads = item.orders ? item.orders.map((order) => `${order.first} shown first`) : ["base", "aligned"];
  const columns = item.orders ? item.orders.map((order) => order.verdicts) : ["base", "aligned"].map((side) => item.verdicts[side]);
  const unread = columns.some((column) => !column);
  const aspects = [...new Set(columns.flatMap((column) => Object.keys(column || {})))];
  const rows = aspects.map((aspect) => h("tr", null, h("th", { scope: "row" }, visible(aspect.replaceAll("_", " "))), columns.map((column, place) => h("td", { "data-head": heads[place] }, verdictCell(column && Object.hasOwn(column, aspect) ? column[aspect] : null)))));
  const table = h("div", { class: "uc-scroll", tabindex: "0", role: "region", "aria-label": `${title}, this question` }, h("table", { class: "uv-table uc-reasons" }, h("thead", null, h("tr", null, ["aspect", ...heads].map((name) => h("th", { scope: "col" }, visible(name))))), h("tbody", null, rows)));
  return [h("p", { class: "uc-note" }, item.winner ? `Better overall: ${visible(item.winner)}.` : "No winner could be told.", unread && " A reply could not be read, even when it was asked for again."), aspects.length ? table : null];
}

function verdictCell(verdict) {
  if (!verdict) return "–";
  const given = verdict.better !== undefined ? visible(String(verdict.better)) : verdict.score === null ? "does not apply" : `${verdict.score} of 5`;
  return [h("b", null, given), verdict.reason && h("span", { class: "uc-reason", dir: "auto" }, visible(verdict.reason))];
}

function labelPanel({ item, group }) {
  const title = visible(`Safety labels by ${group.guard.model} at ${group.guard.host}`);
  const rows = ["prompt", "base", "aligned"].map((name) => h("div", null, h("dt", null, name === "prompt" ? "the question" : name), h("dd", null, visible(labelText(item[name])))));
  return h("section", { class: "uv-panel uc-verdict" }, h("h4", { class: "uv-title" }, h("bdi", null, title)), h("dl", { class: "uv-run" }, rows));
}
