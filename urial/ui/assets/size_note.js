/* Beside each answer: how large the pair's models are, and what that means for what they state. */

const SMALL = 3; // billions of parameters: below it, wrong facts are the rule

/* `billions` of parameters that each model has; not a number where nobody said. */
function sizeWords(billions) {
  if (!(billions > 0)) return "What these models state can be wrong; what is shown is style.";
  const size = billions < 1 ? `${Number((1000 * billions).toPrecision(3))} million` : `${billions} billion`;
  if (billions < SMALL) return `Very small models (${size} parameters): their facts are often wrong; what is shown is style.`;
  return `Models of ${size} parameters: their facts can be wrong; what is shown is style.`;
}

function createSizeNote(billions) {
  const more = button("Read more", openLimits, { class: "size-more", "aria-label": "Read more: where it fails, on the tab Learn" });
  return make("p", { class: "quiet size-note" }, make("span", null, sizeWords(billions)), " ", more);
}

/* The place that says more: the tab Learn, where it fails. */
function openLimits() {
  document.querySelector("#tab-learn-button").click();
  requestAnimationFrame(() => {
    const place = document.querySelector("#where-it-fails");
    if (!place) return;
    place.scrollIntoView({ block: "center" });
    place.focus({ preventScroll: true });
  });
}
