/* Which words of a text are not in another: all but their longest common subsequence. Pure; knows no page. */

const WORDS = typeof Intl.Segmenter === "function" ? new Intl.Segmenter("en", { granularity: "word" }) : null;

/* Words, signs and the space between them; joined they are the text. */
function piecesOf(text) {
  if (WORDS) return Array.from(WORDS.segment(text), ({ segment }) => segment);
  return text.match(/\s+|[\p{L}\p{N}\p{M}'’]+|[^\s]/gu) || [];
}

/* Only what is drawn as space: other blanks are written by their code, and count as signs. */
const isSpace = (piece) => /^[ \t\n]*$/.test(piece);

/* [[piece, whether it is new], ...] of `text` against `before`; space is never new. */
function changesOf(text, before) {
  const pieces = piecesOf(text);
  const words = pieces.filter((piece) => !isSpace(piece));
  const kept = keptOf(words, piecesOf(before).filter((piece) => !isSpace(piece)));
  let at = 0;
  return pieces.map((piece) => [piece, !isSpace(piece) && !kept[at++]]);
}

/* Of each word whether it belongs to the longest common subsequence; equal beginnings and ends are taken off first. */
function keptOf(words, others) {
  const kept = new Array(words.length).fill(false);
  let start = 0;
  const shorter = Math.min(words.length, others.length);
  while (start < shorter && words[start] === others[start]) kept[start++] = true;
  let tail = 0;
  while (tail < shorter - start && words[words.length - 1 - tail] === others[others.length - 1 - tail]) kept[words.length - 1 - tail++] = true;
  const [rows, columns] = [words.length - tail - start, others.length - tail - start];
  const lengths = commonLengths(words.slice(start, start + rows), others.slice(start, start + columns));
  for (let i = 0, j = 0; i < rows && j < columns; ) {
    if (words[start + i] === others[start + j]) [kept[start + i], i, j] = [true, i + 1, j + 1];
    else if (lengths[(i + 1) * (columns + 1) + j] >= lengths[i * (columns + 1) + j + 1]) i += 1;
    else j += 1;
  }
  return kept;
}

/* [(rows + 1) * (columns + 1)]: the longest common subsequence of what lies from (i, j) on. */
function commonLengths(words, others) {
  const width = others.length + 1;
  const lengths = new Uint16Array((words.length + 1) * width);
  for (let i = words.length - 1; i >= 0; i -= 1) {
    for (let j = others.length - 1; j >= 0; j -= 1) {
      const here = i * width + j;
      lengths[here] = words[i] === others[j] ? lengths[here + width + 1] + 1 : Math.max(lengths[here + width], lengths[here + 1]);
    }
  }
  return lengths;
}
