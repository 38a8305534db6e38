/* Batches from the server, in order and each once. Gradio shows only the newest value of a feed, so updates that fall
   into one frame lose batches: a gap is noticed by its number and fetched again, and so is silence. */

const SILENCE = 6000; // milliseconds without a batch before the server is asked

function createFeeds(askServer) {
  const runs = new Map(); // id -> {next, waiting, apply, lost, heard, fetching}

  function open(id, apply, lost) {
    runs.set(id, { next: 0, waiting: new Map(), apply, lost, heard: Date.now(), fetching: false });
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

  async function fetchMissing(id) {
    const run = runs.get(id);
    if (!run || run.fetching) return;
    run.fetching = true;
    const found = await askServer("since", { id, seq: run.next });
    run.fetching = false;
    run.heard = Date.now();
    if (!runs.has(id)) return;
    (found.batches || []).forEach((text) => receive(text));
    if (found.known === false && run.next > 0) run.lost();
    else if (found.known && !found.running && runs.has(id) && !(found.batches || []).length) run.lost();
  }

  setInterval(() => {
    for (const [id, run] of runs) if (run.next > 0 && Date.now() - run.heard > SILENCE) fetchMissing(id);
  }, 1000);

  return { open, close, receive };
}
