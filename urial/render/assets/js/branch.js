/* "Let the base continue": what the base writes after the kept tokens, beside the aligned answer. */

const KEPT = 160; // characters of the kept answer shown before what is new

function createBranch(store, column, host) {
  const kept = h("span", { class: "uv-kept" });
  const token = h("b");
  const text = rawText("");
  const title = h("h4");
  const facts = h("p", { class: "uv-soft" });
  const close = iconButton("Close the continuation", "×", () => api.close());
  const answer = h("div", { class: "uv-answer uv-plain", dir: "auto" }, kept, token, h("span", { class: "uv-new" }, text));
  const el = h("section", { class: "uv-branch", hidden: true, "aria-label": "The base continues" });
  el.append(h("header", { class: "uv-card-head" }, title, close), answer, facts);
  column.el.append(el);

  const api = {
    /* {position, id, text}: with `text` the token is put in place of the one at `position`; without, that one is kept. */
    start({ position, text: chosen }) {
      const instead = chosen !== undefined && chosen !== null;
      const before = store.pieces.slice(0, position).map((piece) => piece.text).join("");
      const last = instead ? chosen : store.pieces[position] ? store.pieces[position].text : "";
      setText(title, instead ? "The base continues with another token" : "The base continues from here");
      kept.replaceChildren(rawText(ending(before, KEPT)));
      token.replaceChildren(rawText(last));
      growRaw(text, "");
      setText(facts, "writing…");
      el.hidden = false;
      store.ui.side = "base";
      store.changed("ui");
      el.scrollIntoView({ block: "nearest", behavior: calmMotion() ? "auto" : "smooth" });
    },
    append({ text: suffix }) {
      growRaw(text, RAW.get(text) + suffix);
    },
    done({ stop_reason: reason, tokens, message }) {
      const parts = [tokens === undefined ? "" : plural(tokens, "token"), reason ? `stopped ${STOP_NAMES[reason]}` : "", message ? visible(message) : ""];
      setText(facts, parts.filter(Boolean).join(", "));
    },
    close() {
      if (el.hidden) return;
      el.hidden = true;
      host.emit("branch-closed", {});
    },
  };
  return api;
}
