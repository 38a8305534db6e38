/* The turns of this visit: asking, going on, stopping, starting over. The aligned answers are the shared history. */

function createConversation(server, events) {
  const turns = [];
  let place = null;

  const acts = {
    stop: (turn, side) => {
      askServer("stop", { id: turn.id, side });
      if (turn.state === "waiting") refuse(turn, "Stopped before it began.");
    },
    again: (turn, side) => again(turn, side),
    branch: (turn, where) => branch(turn, where),
    closeBranch: () => {},
    keep: (turn, kind) => keep(turn, kind),
    copyLink: (turn, from) => copyLink(turn, from),
  };

  async function askServer(name, data) {
    try {
      return await server()[name](data);
    } catch (error) {
      return { error: "The server cannot be reached; check the connection and try again." };
    }
  }

  const feeds = createFeeds(askServer);

  /* A new conversation from the form. */
  async function ask(values) {
    startOver();
    await begin({ ...values, history: [] });
  }

  /* The next turn: every aligned answer so far is what both models are shown as said. */
  async function goOn(values) {
    const history = turns.flatMap((turn) => [
      { role: "user", content: turn.ask.query },
      { role: "assistant", content: turn.answer },
    ]);
    turns.forEach((turn) => fold(turn, true));
    await begin({ ...values, history });
  }

  async function begin(asked) {
    const turn = createTurn(asked, newId(), acts);
    turns.push(turn);
    place.append(turn.el);
    document.body.classList.add("has-turns");
    const found = await askServer("look_up", { id: turn.id, ask: asked });
    if (found.error) return refuse(turn, found.error);
    if (found.hit) return showPayload(turn, found.hit, `From the cache, computed ${when(found.computed_at)}.`);
    feeds.open(turn.id, (name, argument) => apply(turn, name, argument), () => lose(turn));
    return events.trigger("run", { id: turn.id, ask: asked });
  }

  function apply(turn, name, argument) {
    if (!turns.includes(turn)) return;
    STEPS[name](turn, argument);
    if (turn.state === "done" || turn.state === "failed") feeds.close(turn.id);
  }

  function lose(turn) {
    feeds.close(turn.id);
    if (turn.state !== "done") refuse(turn, "The server lost this comparison on the way; press Compare to run it again.");
  }

  function startOver() {
    for (const turn of turns) {
      if (turn.state === "running" || turn.state === "waiting") askServer("stop", { id: turn.id, side: "both" });
      feeds.close(turn.id);
      turn.view.destroy();
      turn.el.remove();
    }
    turns.length = 0;
    document.body.classList.remove("has-turns");
  }

  async function again() {}
  async function branch() {}
  async function keep() {}
  async function copyLink() {}

  return { ask, goOn, startOver, receive: feeds.receive, settle: (element) => (place = element), askServer, turns };
}

function when(iso) {
  return new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}
