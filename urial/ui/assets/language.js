/* The page in the visitor's language. It is written in English; where another language is chosen, a dictionary is applied
   to its elements as they come and change. Questions, answers, tokens, prompts and names of models are never touched. */

const LANGUAGE_KEPT = "urial-language";
const SPOKEN_PARTS = "#tab-compare, #tab-gallery, #tab-corpus, #host-learn, #tab-class, .urial-view, #head, footer, [role=tablist]";
const NEVER_TRANSLATED =
  ".uv-answer, .uv-pre, .uv-entry-name, .uv-query-text, .uv-turn, .uv-before, .uv-note, .uv-formula, .turn-query, .away-one, " +
  ".option-list, .shelf-title, .shown-query, .uc-open-title, .uc-reason, .uc-under, #languages, bdi, code, textarea, script, style, [role=option]";
const SPOKEN_ATTRIBUTES = ["aria-label", "placeholder", "title"];
const KNOWN_MOST = 4000; // sentences remembered; numbers make ever new ones

function chosenLanguage() {
  let kept = null;
  try {
    kept = window.localStorage.getItem(LANGUAGE_KEPT);
  } catch (error) {
    kept = null; // private windows may refuse
  }
  const wanted = [kept, ...navigator.languages.map((each) => each.split("-")[0])];
  return wanted.find((each) => Object.hasOwn(LANGUAGES, each)) || "en";
}

/* A function from an English text to the same in another language, or null where the dictionary does not have it. */
function createTranslator(english, ours, language) {
  const exact = new Map();
  const patterns = [];
  const plurals = new Intl.PluralRules(language);
  const known = new Map();
  for (const [key, text] of Object.entries(english)) {
    const stem = key.replace(/\.(one|other)$/, "");
    const target = (values) => ours[key === stem ? key : `${stem}.${plurals.select(numberOf(values.n))}`];
    if (text.includes("{")) patterns.push({ ...patternOf(text), target });
    else exact.set(text, ours[key]);
  }

  function translated(text) {
    if (exact.has(text)) return exact.get(text);
    for (const { shape, names, target } of patterns) {
      const found = shape.exec(text);
      const values = found && valuesIn(names, found);
      if (values) return target(Object.fromEntries(names.map((name, i) => [name, found[i + 1]]))).replace(/\{(\w+)\}/g, (_, name) => values[name]);
    }
    const sentences = text.split(/(?<=\.) (?=[A-Z\d])/);
    const each = sentences.length > 1 ? sentences.map(remembered) : [null];
    return each.includes(null) ? null : each.join("");
  }

  function valuesIn(names, found) {
    const values = {};
    for (const [i, name] of names.entries()) {
      const value = found[i + 1];
      values[name] = /^n\d*$/.test(name) ? numberWords(value, language) : name === "text" ? value : remembered(value);
      if (values[name] === null) return null;
    }
    return values;
  }

  function remembered(text) {
    if (!known.has(text)) {
      if (known.size > KNOWN_MOST) known.clear();
      known.set(text, translated(text));
    }
    return known.get(text);
  }
  return (text) => (/[A-Za-z%]/.test(text) ? remembered(text.replace(/[\u00a0\u202f]/g, " ").replace(/\s+/g, " ").trim()) : null);
}

const numberOf = (text) => Number(String(text).replaceAll(",", ""));

/* A number as English writes it, written as the language does, with as many decimals. */
function numberWords(text, language) {
  const decimals = (text.split(".")[1] || "").length;
  const value = numberOf(text);
  return Number.isNaN(value) ? text : new Intl.NumberFormat(language, { minimumFractionDigits: decimals, maximumFractionDigits: decimals }).format(value);
}

function patternOf(text) {
  const names = [];
  const parts = text.split(/\{(\w+)\}/).map((part, i) => {
    if (i % 2 === 0) return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    names.push(part);
    return /^n\d*$/.test(part) ? "([\\d,]+(?:\\.\\d+)?|–)" : "(.+?)";
  });
  return { shape: new RegExp(`^${parts.join("")}$`, "s"), names };
}

function translateText(node, say) {
  const parent = node.parentElement;
  if (!parent || !parent.closest(SPOKEN_PARTS) || parent.closest(NEVER_TRANSLATED)) return;
  const words = say(node.data);
  if (words === null) return;
  const [, before, after] = /^(\s*).*?(\s*)$/s.exec(node.data);
  node.data = before + words + after;
}

function translateAttribute(element, name, say) {
  const text = element.getAttribute(name);
  if (!text || !element.closest(SPOKEN_PARTS) || element.closest("[role=option], #languages")) return;
  const words = say(text);
  if (words !== null) element.setAttribute(name, words);
}

function translateTree(root, say) {
  if (root.nodeType === Node.TEXT_NODE) return translateText(root, say);
  if (root.nodeType !== Node.ELEMENT_NODE || root.closest(".uv-answer")) return;
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
  for (let node = root; node; node = walker.nextNode()) {
    if (node.nodeType === Node.TEXT_NODE) translateText(node, say);
    else SPOKEN_ATTRIBUTES.forEach((name) => translateAttribute(node, name, say));
  }
}

function speak(language) {
  document.documentElement.lang = language;
  if (language === "en") return;
  const say = createTranslator(LANGUAGES.en, LANGUAGES[language], language);
  new MutationObserver((changes) => {
    for (const { type, target, addedNodes, attributeName } of changes) {
      if (type === "characterData") translateText(target, say);
      else if (type === "attributes") translateAttribute(target, attributeName, say);
      else addedNodes.forEach((node) => translateTree(node, say));
    }
  }).observe(document.documentElement, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: SPOKEN_ATTRIBUTES });
}

document.addEventListener("click", (event) => {
  const chosen = event.target.closest && event.target.closest("[data-language]");
  if (!chosen) return;
  try {
    window.localStorage.setItem(LANGUAGE_KEPT, chosen.dataset.language);
  } catch (error) {
    // private windows may refuse: the page stays in the browser's language
  }
  window.location.reload();
});

speak(chosenLanguage());
