/* Which answer is better: what a judge model said of both sides, made from `judgements.jsonl`. */

const SIX = ["helpfulness", "clarity", "factuality", "depth", "engagement", "safety"];
const BETTER = { base: "base", tie: "tie", aligned: "aligned" };
const JUDGE_COMMAND = "urial judge DIR --judge BASE_URL --model NAME";

/* The group that is shown: one judge and rubric, of the chosen method. */
function chooseGroup(state) {
  const groups = state.judged.groups.filter((group) => group.method === state.method);
  state.group = groups.find((group) => groupName(group) === state.judge) || groups[0] || null;
  state.winners = state.group && state.group.winners;
  if (state.win && !(state.group && Object.hasOwn(BETTER, state.win))) state.win = "";
}

function groupName({ rubric, judge }) {
  return `${rubric} by ${judge.model} at ${judge.host}`;
}

function judgePanel(state, choose) {
  const { judged, group } = state;
  const groups = judged.groups.filter((one) => one.method === state.method);
  const pick = groups.length > 1 ? choices("Judged by", groups.map((one) => ({ value: groupName(one), label: visible(groupName(one)) })), groupName(group), (judge) => choose({ judge })).el : null;
  const parts = group ? judgeParts(group, state, choose) : [notJudged(judged, state.method)];
  return h("section", { class: "uc-judge", "aria-labelledby": "uc-judge-title" }, h("h3", { class: "uv-title", id: "uc-judge-title" }, "Which answer is better"), pick && h("div", { class: "uc-controls" }, pick), parts, judged.safety.filter((one) => one.method === state.method).map(safetyFold));
}

function notJudged(judged, method) {
  if (judged.error) return h("p", { class: "uc-note", role: "note" }, visible(judged.error));
  const others = [...new Set(judged.groups.map((one) => methodTitle(one.method)))];
  const which = others.length ? `No judge has read the answers by ${methodTitle(method)} yet (judged: ${others.join(", ")})` : "No judge has read these answers yet";
  return h("p", { class: "uc-note" }, `${which}; `, h("code", null, JUDGE_COMMAND), " adds scores of both sides.");
}

function judgeParts(group, state, choose) {
  const rows = aspectRows(group);
  const scored = rows.filter((row) => row.name !== "overall");
  const counts = [`${group.questions} questions`, group.unparsed && `${group.unparsed} with replies that could not be read`, group.failed && `${group.failed} whose call failed`].filter(Boolean).join(", ");
  const note = `${groupName(group)}: ${counts}. A verdict is a model’s opinion, not a measurement.`;
  const plots = [];
  if (group.consistency === null) {
    const nothing = { mean: null, interval: null };
    plots.push(figure("Scores", "Mean points, 1 to 5, with 95 % intervals by bootstrap over questions. What does not apply is left out.", (width) => scorePlot(width, scored.map(({ name, sides }) => ({ name, ...sides }))), scoresTable(scored)));
    plots.push(figure("Differences in points", "Aligned less base on the same question, with 95 % intervals: above zero, the judge prefers the aligned answer.", (width) => differencePlot(width, scored.map(({ name, difference }) => ({ name, ...(difference || nothing) }))), differencesTable(scored)));
  }
  const won = rows.filter((row) => row.won).map(({ name, won: found }) => ({ name, ...found }));
  if (won.length) {
    const plot = figure("Who won", `Questions won by the base, tied, won by the aligned side. ${wonBy(group)}`, (width) => outcomePlot(width, won), outcomesTable(won));
    plot.querySelector(".uc-stage").before(h("ul", { class: "uc-legend" }, ["base", "tie", "aligned"].map((name) => h("li", null, h("span", { class: `uc-key uc-key-${name}`, "aria-hidden": "true" }), name === "tie" ? "tie" : `${name} won`))));
    plots.push(plot);
  }
  return [h("p", { class: "uc-note" }, h("bdi", null, visible(note))), group.warnings.map((text) => h("p", { class: "uc-note uc-warning", role: "note" }, visible(text))), judgeFacts(group), winButtons(group, state, choose), h("div", { class: "uc-two" }, plots)];
}

function wonBy(group) {
  return group.consistency === null ? "Overall: the higher mean of the aspects that both sides have." : "A win counts only where both orders of the answers agree.";
}

/* Every aspect with all its figures; the six of the paper always have their place. */
function aspectRows(group) {
  const held = [...Object.keys(group.sides.base.aspects), ...Object.keys(group.sides.aligned.aspects), ...Object.keys(group.outcomes)];
  const names = [...new Set([...(group.rubric.startsWith("six-aspects") ? SIX : []), ...held])].filter((name) => name !== "overall");
  const own = (object, name) => (Object.hasOwn(object, name) ? object[name] : null);
  return [...names, ...(own(group.outcomes, "overall") ? ["overall"] : [])].map((name) => ({
    name: visible(name.replaceAll("_", " ")),
    sides: { base: own(group.sides.base.aspects, name), aligned: own(group.sides.aligned.aspects, name) },
    difference: own(group.differences, name),
    won: own(group.outcomes, name),
  }));
}

const rounded = (value) => (value === null || value === undefined ? null : Number(value.toFixed(4)));
const limitsOf = (found) => (found && found.interval ? found.interval.map(rounded) : [null, null]);

function scoresTable(rows) {
  const head = ["aspect", ...["base", "aligned"].flatMap((side) => [side, `${side} low`, `${side} high`, `${side} n`, `${side} not applicable`, `${side} as the original (N/A = 5)`])];
  const side = (found) => (found ? [rounded(found.mean), ...limitsOf(found), found.n, found.not_applicable, rounded(found.as_original)] : [null, null, null, 0, 0, null]);
  return { head, rows: rows.map(({ name, sides }) => [name, ...side(sides.base), ...side(sides.aligned)]) };
}

function differencesTable(rows) {
  const head = ["aspect", "aligned less base", "low", "high", "questions"];
  return { head, rows: rows.map(({ name, difference: found }) => [name, found ? rounded(found.mean) : null, ...limitsOf(found), found ? found.n : 0]) };
}

function outcomesTable(rows) {
  return { head: ["aspect", "base won", "ties", "aligned won", "questions"], rows: rows.map(({ name, base, tie, aligned, n }) => [name, base, tie, aligned, n]) };
}

/* [name, value] pairs: win rates, consistency, agreement with people, words per answer. */
function judgeFacts(group) {
  const { win_rate: rate, sides, agreement: people } = group;
  const rated = (value, limits) => `${hundred(value)}${limits ? ` [${between(limits)}]` : ""}`;
  const facts = [
    ["aligned wins, ties count half", `${rated(rate.raw, rate.raw_interval)}, ${rate.n} questions`],
    ["the same at equal lengths", rate.length_controlled === null ? `cannot be told: ${rate.reason}` : rated(rate.length_controlled, rate.length_controlled_interval)],
    ["words per answer", ["base", "aligned"].map((side) => `${side} ${sides[side].words === null ? "–" : sides[side].words.toFixed(0)}`).join(", ")],
  ];
  if (group.consistency !== null) facts.push(["same choice in both orders", hundred(group.consistency)], ["the answer shown first is chosen", `${hundred(group.first_place)} (50 % is fair)`]);
  if (people) facts.push(["agrees with people’s votes", `${hundred(people.percent)} of ${people.n} votes on ${people.questions} questions, kappa ${figureText(people.kappa)}, alpha ${figureText(people.alpha)}`]);
  return h("dl", { class: "uv-run uc-facts" }, facts.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, visible(value)))));
}

function figureText(value) {
  return value === null ? "–" : value.toFixed(2);
}

/* The overall winner filters the table of questions. */
function winButtons(group, state, choose) {
  const overall = Object.hasOwn(group.outcomes, "overall") ? group.outcomes.overall : null;
  if (!overall) return null;
  const button = (name) => h("button", { type: "button", class: "uv-button uv-small-button", "aria-pressed": String(state.win === name), "aria-label": `Questions that the judge gives to ${BETTER[name]}: ${overall[name]}; show them`, on: { click: () => choose({ win: state.win === name ? "" : name }) } }, `${BETTER[name]}: ${overall[name]}`);
  return h("p", { class: "uc-wins" }, "Better overall, to filter the questions: ", ["base", "tie", "aligned"].map(button));
}

/* A guard's labels, counted. */
function safetyFold(group) {
  const head = ["", "safe", "controversial", "unsafe", "not read", "refusals"];
  const row = (name) => [name, ...["safe", "controversial", "unsafe", "unread", "refusals"].map((key) => group[name][key])];
  const table = { head, rows: ["prompt", "base", "aligned"].map(row) };
  const title = "Safety labels";
  const fold = folded(title, visible(`by ${group.guard.model} at ${group.guard.host}`), (body) => replace(body, dataTable(title, table), h("div", { class: "uc-keep" }, keepButton(`${title} as CSV`, "CSV", () => saveFile(`${stem(title)}.csv`, csvBlob(table))))));
  return fold.el;
}
