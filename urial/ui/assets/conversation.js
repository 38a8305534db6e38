/* The turns of this visit: asking, going on, stopping, once more, starting over. One live view serves the newest turn;
   earlier turns fold and get a view of their own when they are opened. */

const NO_PLACE = "There is no free place right now: as many visitors wait as may. Try again in a minute.";

function createConversation(place, askServer, trigger) {
  const turns = [];
  const live = make("div", { class: "live" });
  const newest = () => turns[turns.length - 1];
  const feeds = createFeeds(askServer);
  const placed = {}; // the newest run of each stream, by the stream's name
  let branchId = null;
  let view = null;

  const acts = {
    stop,
    again,
    branch,
    closeBranch,
    toggle: (turn) => (turn.el.classList.contains("folded") ? unfold(turn) : fold(turn, true)),
    keep: (turn, kind) => keepTurn(turn, kind, askServer),
    copyLink: copyLinkOf,
  };

  /* Says at once that it stops: a model may be in the middle of reading. */
  async function stop(turn, side) {
    if (!turn.active) return;
    const asked = askServer("stop", { id: turn.active, side });
    turn.view.stopping(side === "both" ? ["base", "aligned"] : [side]);
    if (side === "both") {
      turn.stopping = turn.active;
      say(turn, "Stopping…");
    }
    await asked;
    stopWaiting(turn);
  }

  /* A new conversation. Resolves to whether the question was accepted. */
  function ask(values) {
    startOver();
    return begin({ ...values, history: [] });
  }

  /* The next turn: every aligned answer so far is what both models are shown as said. */
  async function goOn(values) {
    const last = newest();
    if (!last || last.state !== "done") return false;
    const said = [{ role: "user", content: last.ask.query }, { role: "assistant", content: last.answer }];
    const accepted = await begin({ ...values, history: [...last.ask.history, ...said] });
    return accepted;
  }

  async function begin(asked) {
    const turn = addTurn(asked);
    say(turn, "Waiting for a free place…");
    const id = newId();
    const found = await askServer("look_up", { id, ask: asked });
    if (!turns.includes(turn)) return false;
    if (found.error) {
      refuse(turn, found.error);
      return false;
    }
    if (found.hit) showRecord(turn, id, found.hit, `From the cache, computed ${when(found.computed_at)}.`);
    else stream(turn, id, "run", { ask: asked });
    return true;
  }

  function addTurn(asked) {
    turns.forEach((turn) => fold(turn, true));
    const turn = createTurn(asked, acts);
    turns.push(turn);
    place.append(turn.el);
    view = view || mountView(live, acts, newest);
    turn.view = view;
    turn.parts.body.append(live);
    turn.parts.body.hidden = true;
    setState(turn, "waiting");
    showFollow();
    turn.el.scrollIntoView({ block: "nearest", behavior: calm() ? "auto" : "smooth" });
    return turn;
  }

  /* Take a place in the queue; the batches come by the feed. */
  function stream(turn, id, name, data) {
    turn.active = id;
    turn.line = {};
    feeds.open(id, (step, argument) => apply(turn, id, step, argument));
    take(name, { id, ...data });
  }

  function take(name, data) {
    placed[name] = data.id;
    trigger(name, data);
  }

  function apply(turn, id, name, argument) {
    if (turn.active !== id) return;
    if (name === "reset" || name === "restart" || name === "load") {
      turn.parts.body.hidden = false;
      setState(turn, "running");
    }
    const isStale = turn.stopping === id && (name === "say" || name === "line" || name === "queue");
    if (!isStale) applyStep(turn, name, argument);
    if (name === "append" && turn.stopping !== id && turn.parts.status.textContent) say(turn, lineWords(turn.line));
    if (name === "done") finish(turn, id, argument);
    if (name === "refuse") end(turn, id);
    showFollow();
  }

  function finish(turn, id, record) {
    turn.resultId = id;
    end(turn, id);
    setState(turn, "done");
    say(turn, "");
    if (!isComplete(turn, record)) fetchWhole(turn, id);
  }

  async function fetchWhole(turn, id) {
    const found = await askServer("whole", { id });
    if (found.record) showRecord(turn, id, found.record, "");
  }

  function end(turn, id) {
    feeds.close(id);
    turn.active = null;
  }

  function showRecord(turn, id, record, words) {
    turn.resultId = id;
    turn.log = [];
    turn.parts.body.hidden = false;
    applyStep(turn, "load", record);
    setState(turn, "done");
    say(turn, words);
    showFollow();
  }

  /* A saved comparison in the place of a conversation. */
  function open({ id, record }, words) {
    startOver();
    showRecord(addTurn(askOf(record)), id, record, words);
  }

  function stopWaiting(turn) {
    if (turn.state === "waiting" && turn.active) {
      end(turn, turn.active);
      refuse(turn, "Stopped before it began.");
    }
  }

  /* Gradio could not carry the newest run of a stream: it never began where the queue has no place. */
  async function failed(name) {
    const id = placed[name];
    if (!feeds.isOpen(id)) return;
    const found = await askServer("since", { id, seq: 0 });
    if (!feeds.isOpen(id)) return;
    if (found.known) feeds.catchUp();
    else feeds.refuse(id, found.error || NO_PLACE);
  }

  function again(turn, side) {
    if (turn.active || !turn.resultId) return;
    forgive(turn);
    turn.draws[side] = (turn.draws[side] || 0) + 1;
    say(turn, `The ${side} answer once more…`);
    stream(turn, newId(), `again_${side}`, { ask: turn.ask, of: turn.resultId, draw: turn.draws[side] });
  }

  /* The base goes on after the tokens up to `position`; `id` takes the place of that token. */
  function branch(turn, { position, id, text }) {
    closeBranch();
    const own = (branchId = newId());
    const kept = turn.pieces.slice(0, position).map(([token]) => token);
    const last = id === undefined || id === null ? turn.pieces[position][0] : id;
    turn.view.branchStart({ position, id, text });
    feeds.open(own, (name, argument) => {
      if (branchId !== own || name === "say") return;
      if (name === "refuse") turn.view.branchDone({ message: argument.message });
      else turn.view[name](argument);
      if (name !== "branchAppend") feeds.close(own);
    });
    take("branch", { id: own, ask: turn.ask, answer_ids: [...kept, last] });
  }

  function closeBranch() {
    if (!branchId) return;
    askServer("stop", { id: branchId, side: "both" });
    feeds.close(branchId);
    branchId = null;
  }

  function unfold(turn) {
    if (turn.view === view && turn !== newest()) {
      turn.view = window.UrialView.mount(turn.parts.body, { theme: "host", actions: [], continuation: false, visit: false });
      turn.parts.body.hidden = turn.log.length === 0;
      replay(turn);
    }
    fold(turn, false);
  }

  function startOver() {
    closeBranch();
    for (const turn of turns) {
      if (turn.active) askServer("stop", { id: turn.active, side: "both" });
      if (turn.active) end(turn, turn.active);
      turn.el.remove();
    }
    turns.length = 0;
    showFollow();
  }

  function showFollow() {
    const last = newest();
    document.body.classList.toggle("has-answer", Boolean(last && last.state === "done"));
    document.body.classList.toggle("has-turns", Boolean(last));
  }

  const lastQuery = () => (newest() ? newest().ask.query : "");
  return { ask, goOn, open, startOver, failed, ended: feeds.catchUp, lastQuery, receive: feeds.receive };
}

function when(iso) {
  return new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}
