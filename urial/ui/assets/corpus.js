/* The Corpus tab: asks for the figures once the tab is seen; a link's fragment opens the tab itself. */

function createCorpus(place, ask) {
  const waiting = make("p", { class: "quiet", role: "status" }, "Opening the corpus…");
  place.append(waiting);
  let begun = false;
  const seen = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && begin());
  seen.observe(place);
  if (window.location.hash.startsWith("#corpus")) openCorpusTab();

  async function begin() {
    if (begun) return;
    begun = true;
    seen.disconnect();
    const found = await ask("corpus_front", {});
    if (found.error) return setText(waiting, plainText(found.error));
    waiting.remove();
    const load = async (id) => {
      const answer = await ask("corpus_question", { id });
      return answer.error ? answer : answer.methods;
    };
    window.UrialCorpus.mount(place, { ...found, load, theme: "host" });
  }
}

function openCorpusTab() {
  const tab = document.querySelector("#tab-corpus-button");
  if (tab) tab.click();
  else setTimeout(openCorpusTab, 100);
}
