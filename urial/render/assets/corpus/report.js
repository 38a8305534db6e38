/* The stand-alone report of a corpus: each question's answers lie packed in this file until they are opened. */
(() => {
  const json = (id) => JSON.parse(document.getElementById(id).textContent);
  const { summary, rows, note, judged } = json("corpus");

  async function load(id) {
    const row = rows.findIndex((one) => one.id === id);
    const methods = await unpacked(`question-${row}`);
    if (methods) return { methods, said: await unpacked(`judged-${row}`) };
    const wasAnswered = Object.values(rows[row].methods).some(({ error }) => error === undefined);
    return { error: wasAnswered ? "The answers to this question are not in this file, to keep it small; the folder has them." : "This question has no answer." };
  }

  async function unpacked(id) {
    const packed = document.getElementById(id);
    if (!packed) return null;
    const bytes = Uint8Array.from(atob(packed.textContent), (char) => char.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  }

  window.corpusReport = UrialCorpus.mount(document.getElementById("report"), { summary, rows, load, note, judged });
})();
