/* The Corpus tab: asks for the figures once the tab is seen. What is seen of them is in the link's fragment. */

function createCorpus(place, ask) {
  const waiting = make("p", { class: "quiet", role: "status" }, "Opening the corpus…");
  place.append(waiting);
  let begun = false;
  const seen = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && begin());
  seen.observe(place);

  async function begin() {
    if (begun) return;
    begun = true;
    seen.disconnect();
    const found = await ask("corpus_front", {});
    if (found.error) return setText(waiting, plainText(found.error));
    waiting.remove();
    const load = (id) => ask("corpus_question", { id });
    window.UrialCorpus.mount(place, { ...found, load, theme: "host" });
  }
}
