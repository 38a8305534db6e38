/* In a window with room for one answer the form folds to one line once a question is asked: its text, and a button that
   opens the form again. In a wide window the style sheet shows the form whatever is said here. */

const FOLD_ID = "form-fold";

function createFormFold() {
  const query = make("span", { class: "fold-query", dir: "auto" });
  const open = make("button", { type: "button", id: FOLD_ID, "aria-expanded": "false", "aria-controls": "ask", on: { click: () => (unfoldForm(), document.querySelector("#query textarea").focus()) } });
  open.append(query, " ", make("span", { class: "fold-more" }, "Ask more"));
  return open;
}

/* Whoever pressed a button of the form that goes out of sight finds the focus on the one that brings it back. */
function foldForm(query) {
  const isInForm = document.activeElement && document.activeElement.closest("#ask");
  setText(document.querySelector(`#${FOLD_ID} .fold-query`), plainText(query).slice(0, 200));
  document.body.classList.add("form-folded");
  if (isNarrow() && isInForm) document.getElementById(FOLD_ID).focus({ preventScroll: true });
}

function unfoldForm() {
  document.body.classList.remove("form-folded");
}
