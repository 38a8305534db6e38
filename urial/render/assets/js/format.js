/* Numbers and raw text as a reader sees them. Knows nothing about the page. */

const NBSP = "\u00a0";

/* A share of counted tokens: 0.0642 -> "6.4 %". */
function share(fraction) {
  return fraction === null ? "–" : `${(100 * fraction).toFixed(1)}${NBSP}%`;
}

/* A probability: never a false 0 or 100. The payload carries five decimals. */
function probability(p) {
  if (p === null || p === undefined) return "–";
  const points = 100 * p;
  if (points < 0.01) return `<${NBSP}0.01${NBSP}%`;
  if (points < 1) return `${points.toFixed(2)}${NBSP}%`;
  if (points > 99.9 && p < 1.000001) return `>${NBSP}99.9${NBSP}%`;
  return `${points.toFixed(1)}${NBSP}%`;
}

/* A switch point, as an amount of tuning: 0.342 -> "34 %"; never a false 0. */
function amount(value) {
  if (value === null || value === undefined) return "–";
  return value > 0 && value < 0.01 ? `<${NBSP}1${NBSP}%` : `${(100 * value).toFixed(0)}${NBSP}%`;
}

function nats(value) {
  return value === null || value === undefined ? "–" : value.toFixed(2);
}

/* KL or JS of a row: a lower bound where a part of the aligned mass could not be seen. */
function distance(row, value) {
  return row.open === null || value === null ? nats(value) : `≥${NBSP}${nats(value)}`;
}

function whole(count) {
  return count === null || count === undefined ? "–" : count.toLocaleString("en");
}

function seconds(value) {
  if (value === null || value === undefined) return "–";
  return value < 10 ? `${value.toFixed(2)}${NBSP}s` : `${value.toFixed(1)}${NBSP}s`;
}

function plural(count, one, many) {
  return `${whole(count)}${NBSP}${count === 1 ? one : many || one + "s"}`;
}

/* The Wilson score interval of k successes in n trials, 95 % (Wilson 1927; z = 1.96): [low, high] as fractions. */
function wilson(k, n) {
  if (!n) return null;
  const z = 1.959964;
  const p = k / n;
  const centre = (p + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}

/* Characters that would act instead of show: controls, bidi and zero-width formatting, line separators, tags.
   Joiners (U+200C, U+200D) stay, because scripts and emoji need them; line feed and tab stay in running text. */
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

function showHidden(char) {
  const code = char.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

/* Text whose every character is seen; lines and tabs are kept. */
function visible(text) {
  return text.replace(HIDDEN, showHidden);
}

/* A name has room for so much; a token of thousands of characters would only widen the page. */
const LONGEST_NAME = 80;

function clipped(text) {
  if (text.length <= LONGEST_NAME) return text;
  const chars = [...text];
  return chars.length <= LONGEST_NAME ? text : `${chars.slice(0, LONGEST_NAME).join("")}…`;
}

/* The last characters of a text, never half a surrogate pair. */
function ending(text, length) {
  return text.length <= length ? text : `…${text.slice(-length).replace(/^[\udc00-\udfff]/, "")}`;
}

/* One token in a list: spaces, tabs and line breaks as signs too. */
function tokenName(text) {
  if (text === "") return "◦";
  return visible(clipped(text)).replace(/ /g, "␣").replace(/\n/g, "↵").replace(/\t/g, "⇥");
}

/* One token in a sentence: without the space around it, unless it is nothing else. */
function wordName(text) {
  const trimmed = text.trim();
  return trimmed === "" ? tokenName(text) : visible(clipped(trimmed)).replace(/\n/g, "↵");
}

/* One token for the ear. */
function spoken(text) {
  if (text === "") return "part of a character";
  const trimmed = visible(clipped(text.trim()));
  if (trimmed !== "") return trimmed;
  if (text.includes("\n")) return text.indexOf("\n") === text.lastIndexOf("\n") ? "line break" : "line breaks";
  return text.includes("\t") ? "tab" : "space";
}
