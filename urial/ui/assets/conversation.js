/* The turns of one conversation: asking, going on, stopping, once more, putting away and bringing back. One live view
   serves the newest turn; earlier turns fold and get a view of their own when they are opened. */

const NO_PLACE = "There is no free place right now: as many visitors wait as may. Try again in a minute.";
const NOT_BEGUN = "Stopped before it began.";
const STILL_WRITING = "The last answer is still being written: wait for its end or stop it, then go on.";
const ALREADY_HERE = "This is the answer to this very question, with these settings.";

/* `tell` says a sentence above the turns; `factsOf` tells of a pair, by its name, which ways of turning it has and its size. */
function createConversation(place, askServer, trigger, tell, factsOf) {
  const turns = [];
  const live = make("div", { class: "live" });
  const newest = () => turns[turns.length - 1];
  const feeds = createFeeds(askServer);
  const placed = {}; // the newest run of each stream, by the stream's name
  const away = createAway(bringBack);
  const ladder = createLadder({ feeds, take, askServer });
  let branchId = null;
  let hasGuard = true; // until the server says that it has none
  let view = null;

  const acts = {
    stop,
    again,
    branch,
    closeBranch,
    toggle: (turn) => (turn.el.classList.contains("folded") ? unfold(turn) : fold(turn, true)),
    keep: (turn, kind) => keepTurn(turn, kind, askServer),
    copyLink: (turn, from) => copyLinkOf(turn, turns.slice(0, turns.indexOf(turn) + 1), from),
  };

  /* A new comparison. What is in sight is put away, unless it is the answer to this very question. */
  async function ask(values) {
    const asked = { ...values, history: [] };
    if (turns.length === 1 && isAnswering(newest(), asked)) return newest().state === "done" && say(newest(), ALREADY_HERE);
    putAway();
    return begin(asked);
  }

  /* The next turn: every aligned answer so far is what both models are shown as said. */
  async function goOn(values) {
    if (turns.some((turn) => turn.active || turn.state === "waiting")) return tell(STILL_WRITING);
    dropRefused();
    const last = turns.findLast((turn) => turn.state === "done");
    if (!last) return ask(values);
    const said = [{ role: "user", content: last.ask.query }, { role: "assistant", content: last.answer }];
    return begin({ ...values, history: [...last.ask.history, ...said] });
  }

  /* Enter never ends a conversation. */
  const enter = (values) => (turns.length > 1 ? goOn(values) : ask(values));

  async function begin(asked) {
    const turn = addTurn(asked);
    say(turn, "Waiting for a free place…");
    const id = newId();
    const found = await askServer("look_up", { id, ask: asked });
    if (!turns.includes(turn)) return refuse(turn, NOT_BEGUN);
    if (found.error) {
      refuse(turn, found.error);
      return showFollow();
    }
    if (!found.hit) return stream(turn, id, "run", { ask: asked });
    turn.isWhole = true;
    keepHere(id, asked.query);
    showRecord(turn, id, found.hit, `From the cache, computed ${when(found.computed_at)}.`);
    return label(turn, id);
  }

  function addTurn(asked, stays) {
    turns.forEach((turn) => (leaveLive(turn), fold(turn, true)));
    const turn = createTurn(asked, acts, factsOf(asked.pair).billions);
    turns.push(turn);
    place.append(turn.el);
    view = view || mountView(live, acts, newest, { under: ladder.el, titleOf });
    takeLive(turn);
    setState(turn, "waiting");
    showFollow();
    if (stays) return turn;
    foldForm(asked.query);
    bringIntoView(turn);
    return turn;
  }

  function bringIntoView(turn) {
    const [part, block] = isNarrow() ? [turn.el, "start"] : [turn.el.firstElementChild, "nearest"];
    part.scrollIntoView({ block, behavior: calm() ? "auto" : "smooth" });
  }

  /* The live view, empty: the answers' room is there before they come. */
  function takeLive(turn) {
    turn.view = view;
    view.clear();
    turn.parts.body.append(live);
    turn.steering = turn.steering || createSteering(turn.ask, factsOf(turn.ask.pair).turning, steer);
    view.element.querySelector(".uv-what").after(turn.steering.el);
  }

  function leaveLive(turn) {
    if (turn.view !== view) return;
    turn.view = UNSEEN;
    turn.steering.halt();
    turn.steering.el.remove();
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
    turn.isWhole = hasEnded(record);
    end(turn, id);
    setState(turn, "done");
    say(turn, "");
    if (turn === newest()) tell("");
    keepHere(id, turn.ask.query);
    if (isComplete(turn, record)) label(turn, id);
    else fetchWhole(turn, id).then(() => label(turn, id));
  }

  /* A guard's labels, where the server has a guard; the answers are there already. */
  async function label(turn, id) {
    if (!hasGuard) return;
    const found = await askServer("labels", { id });
    if (found.none) hasGuard = false;
    else if (found.guard && turn.resultId === id && !turn.active) applyStep(turn, "labels", found);
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

  const titleOf = async (pair) => (await askServer("title", { pair })).title || "";

  /* What the address names: the turns of a conversation that the server still holds. Nothing scrolls: it was there. */
  function restore(found) {
    putAway();
    for (const { id, record } of found) showRecord(addTurn(askOf(record), true), id, record, "Kept by the server; nothing was computed.");
  }

  /* A saved comparison in the place of a conversation. */
  function open({ id, record }, words) {
    putAway();
    showRecord(addTurn(askOf(record)), id, record, words);
  }

  /* Says at once that it stops: a model may be in the middle of reading. */
  async function stop(turn, side) {
    turn.isStopped = true;
    const asked = askServer("stop", { id: turn.active || "", side });
    if (turn.active) tellStopping(turn, side);
    await asked;
    if (turn.state !== "waiting" || !turn.active) return;
    end(turn, turn.active);
    refuse(turn, NOT_BEGUN);
  }

  function tellStopping(turn, side) {
    turn.view.stopping(side === "both" ? ["base", "aligned"] : [side]);
    if (side !== "both") return;
    turn.stopping = turn.active;
    say(turn, "Stopping…");
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
    setWriting(turn, [side]);
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

  /* A run beside the two answers, the dial or nudging; `apply` gets its steps, the last of which is steerDone or refuse. */
  function steer(ask, how, apply) {
    const id = newId();
    feeds.open(id, (name, argument) => {
      if (name === "steerDone" || name === "refuse") feeds.close(id);
      apply(name, argument);
    });
    take("steer", { id, ask, how });
    return { stop: () => askServer("stop", { id, side: "both" }) };
  }

  function unfold(turn) {
    if (turn.view === UNSEEN) {
      turn.view = window.UrialView.mount(turn.parts.body, { theme: "host", actions: [], continuation: false, visit: false });
      turn.parts.body.hidden = turn.log.length === 0;
      replay(turn);
    }
    fold(turn, false);
  }

  /* What is in sight makes room. What still runs is stopped; its feed stays open, so that all that came is kept. */
  function putAway() {
    closeBranch();
    dropRefused();
    for (const turn of turns) {
      if (turn.active) stop(turn, "both");
      leaveLive(turn);
      turn.el.remove();
    }
    if (turns.length) away.add(turns.splice(0));
    showFollow();
  }

  function bringBack(found) {
    putAway();
    tell("");
    turns.push(...found);
    place.append(...turns.map((turn) => turn.el));
    takeLive(newest());
    replay(newest());
    showFollow();
  }

  /* Newest turns that never got anything to show: their sentence has been read. */
  function dropRefused() {
    while (turns.length && newest().state === "failed" && !newest().log.length) turns.pop().el.remove();
  }

  function showFollow() {
    const talks = turns.length > 1;
    const follows = talks || turns.some((turn) => turn.state === "done");
    document.body.classList.toggle("has-answer", follows);
    document.body.classList.toggle("has-turns", turns.length > 0);
    document.body.classList.toggle("has-talk", talks);
    ladder.show(newest());
    addressTurns(turns);
    const [compare, next] = ["#go", "#go-on"].map((place) => document.querySelector(place));
    if (!compare || !next) return; // Gradio makes the form when it likes
    next.disabled = !follows;
    setText(compare, talks ? "New comparison" : "Compare");
  }

  const lastQuery = () => (newest() ? newest().ask.query : "");
  return { ask, goOn, enter, open, restore, putAway, showFollow, away: away.el, failed, ended: feeds.catchUp, lastQuery, receive: feeds.receive };
}

function when(iso) {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? iso : date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}
