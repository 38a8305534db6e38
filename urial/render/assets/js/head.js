/* The query and the earlier turns, for a host that has no query box of its own (the stand-alone report). */

function createHead(store, settings) {
  const el = h("header", { class: "uv-head", hidden: !settings.showQuery });
  function update(topics) {
    if (!settings.showQuery || !topics.has("meta") || !store.meta) return;
    const { query, history, pair } = store.meta;
    const title = settings.heading ? [h("h1", { class: "uv-heading" }, settings.heading), h("p", { class: "uv-lead" }, LEAD)] : [];
    replace(
      el,
      title,
      h("div", { class: "uv-card uv-query" }, earlier(history || []), h("h2", { class: "uv-query-text", dir: "auto" }, visible(query || ""))),
      pair ? h("p", { class: "uv-soft uv-pair" }, h("bdi", null, visible(pair.base)), " beside ", h("bdi", null, visible(pair.aligned))) : [],
    );
  }
  return { el, update };
}

const LEAD =
  "One question, two siblings: a base model that was only shown a prompt, and the same model after chat tuning. The colours show which words the tuning put there.";

function earlier(history) {
  return history.map(({ role, content }) =>
    h("p", { class: `uv-turn uv-turn-${role === "user" ? "user" : "assistant"}`, dir: "auto" }, visible(content)),
  );
}
