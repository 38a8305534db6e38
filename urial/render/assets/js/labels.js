/* A guard model's labels, where the host has a guard: one quiet chip a side. A label is a model's opinion. */

function labelChip(labels, side) {
  if (!labels) return null;
  if (labels.error) return h("span", { class: "uv-label", "data-label": "none" }, visible(labels.error));
  if (labels[side] === undefined) return null; // the side wrote nothing
  const label = labels[side];
  return h("span", { class: "uv-label", "data-label": label ? label.label : "none" }, visible(`${labelText(label)}, says ${clipped(labels.guard.model)}`));
}

/* All labels of a comparison in one line, for "What exactly was run". */
function labelsText(labels) {
  if (labels.error) return visible(labels.error);
  const parts = [["prompt", "question"], ["base", "base"], ["aligned", "aligned"]].filter(([name]) => labels[name] !== undefined);
  return visible(`${parts.map(([name, title]) => `${title} ${labelText(labels[name])}`).join("; ")}; by ${labels.guard.model} at ${labels.guard.host}`);
}

/* "unsafe, S2 non-violent crimes (97 %)". */

function labelText(label) {
  if (!label) return "its reply held no label";
  const codes = label.codes.map(({ code, name }) => (name && name !== code ? `${code} ${name}` : code)).join(", ");
  const sure = label.probability === null || label.probability === undefined ? "" : ` (${(100 * label.probability).toFixed(0)} %)`;
  return `${label.label}${codes ? `, ${codes}` : ""}${sure}${label.refusal ? ", a refusal" : ""}`;
}
