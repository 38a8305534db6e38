/* Conversations of this visit that were put away. Nothing of them is dropped: each can be had back whole. */

const MOST_AWAY = 20; // conversations kept; an older one is still in the server's cache for a while

/* `bringBack` gets the turns of the conversation that is chosen. */
function createAway(bringBack) {
  const kept = []; // lists of turns, newest first
  const list = make("div", { class: "away-list" });
  const el = make("div", { id: "away", role: "group", "aria-label": "Put away in this visit", hidden: true }, make("span", { class: "quiet" }, "Bring back:"), list);

  function add(turns) {
    kept.unshift(turns);
    kept.splice(MOST_AWAY);
    show();
  }
  function take(turns) {
    kept.splice(kept.indexOf(turns), 1);
    show();
    bringBack(turns);
  }
  function show() {
    el.hidden = kept.length === 0;
    list.replaceChildren(...kept.map((turns) => button(awayName(turns), () => take(turns), { class: "pg-button away-one", dir: "auto" })));
  }
  return { el, add };
}

function awayName(turns) {
  const count = turns.length > 1 ? `${turns.length} turns: ` : "";
  return `↩ ${count}${[...plainText(turns[0].ask.query)].slice(0, 60).join("")}`;
}

/* The view of a turn that is not in sight: what comes for it is kept in its log only. */
const UNSEEN = Object.fromEntries(
  ["reset", "restart", "append", "sideDone", "fail", "done", "load", "stopping", "stopped", "clear"].map((name) => [name, () => {}]),
);
