/* Batches from the server, in order and each once. Gradio shows only the newest value of a feed, so updates that fall
   into one frame lose batches: a gap is noticed by its number and fetched again, and so is silence. */

const SILENCE = 6000; // milliseconds without a batch before the server is asked
const LOST = "The connection to this run was lost; start it again.";

function createFeeds(askServer) {
  const runs = new Map(); // id -> {next, waiting, apply, heard, fetching}

  function open(id, apply) {
    runs.set(id, { next: 0, waiting: new Map(), apply, heard: Date.now(), fetching: false });
  }

  function close(id) {
    runs.delete(id);
  }

  function receive(text) {
    if (typeof text !== "string" || !text) return;
    const batch = JSON.parse(text);
    const run = runs.get(batch.run);
    if (!run || batch.seq < run.next) return;
    run.heard = Date.now();
    run.waiting.set(batch.seq, batch);
    drain(run);
    if (run.waiting.size) fetchMissing(batch.run);
  }

  function drain(run) {
    while (run.waiting.has(run.next)) {
      const batch = run.waiting.get(run.next);
      run.waiting.delete(run.next);
      run.next += 1;
      for (const [name, argument] of batch.do) run.apply(name, argument);
    }
  }

  /* The end of a run that cannot go on, in the words of the page. */
  function refuse(id, message) {
    const run = runs.get(id);
    if (run) run.apply("refuse", { message });
    close(id);
  }

  /* A run that the server does not know yet waits for a place; one that it has forgotten, or that ended in silence, is lost. */
  async function fetchMissing(id) {
    const run = runs.get(id);
    if (!run || run.fetching) return;
    run.fetching = true;
    const from = run.next;
    const found = await askServer("since", { id, seq: from });
    run.fetching = false;
    run.heard = Date.now();
    const batches = found.batches || [];
    batches.forEach((text) => receive(text));
    const isForgotten = found.known === false && from > 0; // it may have begun since it was asked for
    const isSilent = found.known && !found.running && !batches.length;
    if (isForgotten || isSilent) refuse(id, LOST);
  }

  /* Gradio has ended a stream: whatever of it did not arrive is asked for, a moment later. */
  function catchUp() {
    setTimeout(() => [...runs.keys()].forEach(fetchMissing), 500);
  }

  setInterval(() => {
    for (const [id, run] of runs) if (run.next > 0 && Date.now() - run.heard > SILENCE) fetchMissing(id);
  }, 1000);

  return { open, close, receive, refuse, catchUp, isOpen: (id) => runs.has(id) };
}
