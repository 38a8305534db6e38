/* From a row to its look: style name, small number, words for the ear; and the legend of each colour mode.
   Every look differs in more than colour: underline style or weight, and a number. Knows nothing about the page. */

const GAP_LEVELS = ["n1", "z", "p1", "p2", "p3"];
const KL_BOUNDS = [0.1, 0.5, 1, 2];
const NEED_BOUNDS = [0, 0.25, 0.5, 0.75];
const NEEDS_MEANING = "how much of the aligned model must be mixed into the base until this token is the first choice";
const NO_NEED = 5; // the level of a token without a switch point

function rankLevel(rank, thresholds) {
  if (rank === 1) return 0;
  const at = thresholds.findIndex((bound) => rank <= bound);
  return at < 0 ? 4 : at + 1;
}

function klLevel(kl) {
  const at = KL_BOUNDS.findIndex((bound) => kl < bound);
  return at < 0 ? 4 : at;
}

function gapLevel(gap) {
  if (gap <= -0.1) return 0;
  return [0.1, 0.4, 0.7].filter((bound) => gap >= bound).length + 1;
}

function points(gap) {
  return `${gap < 0 ? "−" : "+"}${Math.abs(100 * gap).toFixed(0)}`;
}

/* {level, style, number}: `level` indexes the mode's legend. */
const PAINTERS = {
  class: (row) => ({
    level: CLASS_ORDER.indexOf(row.cls),
    style: `uv-c-${row.cls}`,
    number: row.cls === "s" ? whole(row.rank) : "",
  }),
  rank: (row, ui) => {
    const level = rankLevel(row.rank, ui.thresholds);
    return { level, style: `uv-l${level}`, number: row.rank > 1 ? whole(row.rank) : "" };
  },
  kl: (row) => {
    const level = klLevel(row.kl);
    return { level, style: `uv-l${level}`, number: level > 2 ? row.kl.toFixed(1) : "" };
  },
  gap: (row) => {
    const level = gapLevel(row.pa - row.pb);
    return { level, style: `uv-g-${GAP_LEVELS[level]}`, number: level === 0 || level > 2 ? points(row.pa - row.pb) : "" };
  },
  needs: (row) => {
    const level = needLevel(row.needs);
    const number = level > 0 && level < NO_NEED ? (100 * row.needs).toFixed(0) : "";
    return { level, style: level === NO_NEED ? "uv-c-n" : `uv-l${level}`, number };
  },
};

/* Apart from the lambda scale: it is not a place on it. */
function needLevel(needs) {
  if (needs === null) return NO_NEED;
  const at = NEED_BOUNDS.findIndex((bound) => needs <= bound);
  return at < 0 ? 4 : at;
}

/* The same in every mode: told by a dashed line and a question mark. */
const NOT_SCORED = { level: 5, style: "uv-c-n", number: "?" };

function paint(row, ui) {
  if (row.cls === "n") return NOT_SCORED;
  return PAINTERS[ui.mode](row, ui);
}

function rankBand(low, high) {
  if (high !== null && high < low) return "none";
  return low === high ? `base rank ${whole(low)}` : high === null ? `after ${whole(low - 1)}` : `${whole(low)} to ${whole(high)}`;
}

const LEGENDS = {
  class: () => CLASS_ORDER.map((cls) => ({ style: `uv-c-${cls}`, label: CLASS_NAMES[cls], hint: CLASS_MEANING[cls], place: CLASS_PLACES[cls] })),
  rank: ({ thresholds: [a, b, c] }) => {
    const bands = [rankBand(1, 1), rankBand(2, a), rankBand(a + 1, b), rankBand(b + 1, c), rankBand(c + 1, null)];
    return bands.map((label, level) => ({ style: `uv-l${level}`, label, hint: "base rank" }));
  },
  kl: () => {
    const labels = KL_BOUNDS.map((bound, i) => (i ? `${KL_BOUNDS[i - 1]} to ${bound}` : `under ${bound}`));
    return [...labels, `${KL_BOUNDS[3]} or more nats`].map((label, level) => ({ style: `uv-l${level}`, label, hint: "KL" }));
  },
  gap: () => {
    const labels = ["base surer by 10 points", "alike", "aligned surer by 10", "by 40", "by 70 points"];
    return labels.map((label, level) => ({ style: `uv-g-${GAP_LEVELS[level]}`, label, hint: "P aligned − P base" }));
  },
  needs: () => {
    const labels = ["none: the base says it", "up to 25 %", "up to 50 %", "up to 75 %", "more than 75 %"];
    const bands = labels.map((label, level) => ({ style: `uv-l${level}`, label, hint: NEEDS_MEANING }));
    return [...bands, { style: "uv-c-n", label: "not defined", hint: "not the aligned model’s own first choice, or not told" }];
  },
};

function legend(ui) {
  return LEGENDS[ui.mode](ui);
}

/* "However, shifted, base rank 14": class and rank always, the mode's own number where it is another. */
function sayRow(row, ui, text) {
  if (row.cls === "n") return `${row.special ? "end of turn" : spoken(text)}, not scored: ${UNSCORED_REASONS[row.reason]}`;
  if (row.special) return `end of turn, ${CLASS_NAMES[row.cls]}, base rank ${whole(row.rank)}`;
  const extra = { kl: `, KL ${nats(row.kl)} nats`, gap: `, gap ${points(row.pa - row.pb)} points`, needs: `, ${needWords(row)}` }[ui.mode] || "";
  return `${spoken(text)}, ${CLASS_NAMES[row.cls]}, base rank ${whole(row.rank)}${extra}`;
}

/* "needs 34 % of the tuning", "needs no tuning". */
function needWords(row) {
  if (row.needs === null) return "tuning needed: not defined";
  return row.needs === 0 ? "needs no tuning" : `needs ${amount(row.needs)} of the tuning`;
}

/* "shifted, number 14 on the base’s list", for a heading. */
function placeOf(row) {
  if (row.cls === "n") return `not scored, ${UNSCORED_REASONS[row.reason]}`;
  const place = row.rank === 1 ? "the base’s first choice" : `number ${whole(row.rank)} on the base’s list`;
  return `${CLASS_NAMES[row.cls]}, ${place}${row.needs > 0 ? `, ${needWords(row)}` : ""}`;
}
