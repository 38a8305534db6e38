/* What is shown and what is meant. An answer on the page holds more than its text: signs for hidden characters, ranks,
   the end token's name. Each text node made here knows the raw text that it stands for, and copying gives that text. */

const RAW = new WeakMap(); // text node -> the raw text that it shows

function rawText(raw) {
  const node = document.createTextNode(visible(raw));
  RAW.set(node, raw);
  return node;
}

/* A growing answer gets its suffix; the whole text is never set twice. */
function growRaw(node, raw) {
  const before = RAW.get(node) || "";
  if (raw === before) return;
  if (raw.startsWith(before)) node.appendData(visible(raw.slice(before.length)));
  else node.data = visible(raw);
  RAW.set(node, raw);
}

/* The raw characters whose shown form lies in [from, to) of a node, at least in part. */
function rawSlice(node, from, to) {
  const raw = RAW.get(node);
  if (raw === undefined) return "";
  if (raw.length === node.data.length) return raw.slice(from, to);
  let at = 0;
  let found = "";
  for (const char of raw) {
    const end = at + visible(char).length;
    if (end > from && at < to) found += char;
    at = end;
  }
  return found;
}

/* The raw text of a range inside one answer. */
function rawOf(range, answer) {
  let found = "";
  const walker = document.createTreeWalker(answer, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!range.intersectsNode(node)) continue;
    const from = node === range.startContainer ? range.startOffset : 0;
    const to = node === range.endContainer ? range.endOffset : node.data.length;
    found += rawSlice(node, from, to);
  }
  return found;
}

/* The part of a range before, in or after a node. */
function partOf(range, edit) {
  const part = range.cloneRange();
  edit(part);
  return part;
}

/* The selected text with every answer in it as the model wrote it; null where no answer is touched. What lies around the
   answers is as the browser would give it, which it tells of a selection only: each piece is selected for a moment. */
function selectedText(selection) {
  const whole = selection.rangeCount ? selection.getRangeAt(0) : null;
  const answers = whole ? [...document.querySelectorAll(".urial-view .uv-answer")].filter((answer) => whole.intersectsNode(answer) && answer.getClientRects().length) : [];
  if (!answers.length) return null;
  const kept = whole.cloneRange();
  const parts = [];
  const browserText = (part) => {
    selection.removeAllRanges();
    selection.addRange(part);
    return part.collapsed ? "" : selection.toString();
  };
  let rest = kept.cloneRange();
  for (const answer of answers) {
    if (!answer.contains(rest.startContainer)) parts.push(browserText(partOf(rest, (part) => part.setEndBefore(answer))));
    parts.push(rawOf(kept, answer));
    rest = partOf(kept, (part) => (answer.contains(kept.endContainer) ? part.collapse(false) : part.setStartAfter(answer)));
  }
  if (!rest.collapsed) parts.push(browserText(rest));
  selection.removeAllRanges();
  selection.addRange(kept);
  return parts.filter(Boolean).join(parts.length > 1 ? "\n" : "");
}

document.addEventListener("copy", (event) => {
  const typed = event.target.closest && event.target.closest("input, textarea");
  const text = typed ? null : selectedText(window.getSelection());
  if (!text || !event.clipboardData) return;
  event.clipboardData.setData("text/plain", text);
  event.preventDefault();
});
