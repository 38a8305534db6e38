/* What both pages stand on: texts in the visitor's language, elements made of text, requests, and following a view. */

const LANGUAGES = { en: "English", ja: "日本語" };
const KEPT_LANGUAGE = "urial-class-language";
let texts = {};
export let language = "en";

// Texts

export async function loadTexts() {
  const wanted = [stored(KEPT_LANGUAGE), ...navigator.languages.map((each) => each.split("-")[0])];
  language = wanted.find((each) => Object.hasOwn(LANGUAGES, each)) || "en";
  document.documentElement.lang = language;
  texts = await (await fetch(`languages/${language}.json`)).json();
}

/* A text with its values; `n` chooses the plural form by the language's rules. */
export function t(key, values = {}) {
  const form = values.n === undefined ? key : `${key}.${new Intl.PluralRules(language).select(values.n)}`;
  const found = texts[form] ?? key;
  return found.replace(/\{(\w+)\}/g, (place, name) => (name in values ? spoken(values[name]) : place));
}

const spoken = (value) => (typeof value === "number" ? new Intl.NumberFormat(language).format(value) : String(value));

export function percent(share) {
  if (share === null || share === undefined) return "–";
  const digits = { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 };
  return new Intl.NumberFormat(language, digits).format(share);
}

/* A whole number of per cent, as a guess is given. */
export function wholePercent(share) {
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }).format(share);
}

/* Percentage points, with one decimal. */
export function points(value) {
  if (value === null || value === undefined) return "–";
  return new Intl.NumberFormat(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(value);
}

export function languageSwitch() {
  const options = Object.entries(LANGUAGES).map(([name, title]) => el("option", { value: name, lang: name }, title));
  const chosen = el("select", { "aria-label": "Language / 言語", class: "language" }, ...options);
  chosen.value = language;
  chosen.addEventListener("change", () => {
    store(KEPT_LANGUAGE, chosen.value);
    window.location.reload();
  });
  return chosen;
}

// Elements: text goes in as text nodes only

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

export function button(key, press, attributes = {}) {
  return el("button", { type: "button", click: press, ...attributes }, t(key));
}

export function show(root, ...children) {
  root.replaceChildren(...children.flat().filter(Boolean));
}

/* One sentence for everybody, read out by screen readers. */
export function tell(text, isProblem = false) {
  const line = document.getElementById("told");
  if (line.textContent !== text) line.textContent = text;
  line.classList.toggle("problem", isProblem);
}

/* What the server refused, in the visitor's language. */
export function refusal(data) {
  if (!data || !data.error) return t("problem");
  return data.key && texts[data.key] ? t(data.key, data.values) : data.error;
}

// What is kept in this browser; without storage, nothing is

export function stored(name, where = "localStorage") {
  try {
    return window[where].getItem(name);
  } catch (error) {
    return null;
  }
}

export function store(name, value, where = "localStorage") {
  try {
    if (value === null) window[where].removeItem(name);
    else window[where].setItem(name, value);
  } catch (error) {
    // private windows may refuse: the page works without
  }
}

// Requests

export async function post(path, data, host = "") {
  const headers = { "content-type": "application/json" };
  if (host) headers.authorization = `Bearer ${host}`;
  const answered = await fetch(path, { method: "POST", headers, body: JSON.stringify(data) });
  return { ok: answered.ok, status: answered.status, data: await answered.json().catch(() => null) };
}

/* Like `post`, again and again while the server cannot be reached: it may be starting anew. */
export async function postUntilHeard(path, data, waiting) {
  for (;;) {
    try {
      const found = await post(path, data);
      if (found.status < 500) return found;
    } catch (error) {
      // no network, or no server yet
    }
    waiting();
    await pause(1000 + 500 * Math.random());
  }
}

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

const EVERY = 900; // milliseconds between two looks, and up to 300 more so that a class does not come in step

/* Look at a view until it is refused. `changed(view)` gets each new one, `gone(data)` the refusal. */
export function follow(address, host, changed, gone) {
  let seen = "";
  let timer = 0;
  let isOver = false;
  const headers = host ? { authorization: `Bearer ${host}` } : {};

  async function look() {
    clearTimeout(timer);
    if (isOver) return;
    try {
      const found = await fetch(`${address}&seen=${encodeURIComponent(seen)}`, { headers, cache: "no-store" });
      if (isOver) return;
      if (found.status === 200) {
        const view = await found.json();
        seen = view.version;
        changed(view);
      } else if (found.status === 403) {
        isOver = true;
        gone(await found.json());
      }
      if (found.ok) document.body.classList.remove("offline");
    } catch (error) {
      document.body.classList.add("offline");
    }
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(look, EVERY + 300 * Math.random());
  }

  const woken = () => !document.hidden && look();
  document.addEventListener("visibilitychange", woken);
  look();
  return {
    look: (anew = false) => {
      if (anew) seen = "";
      return look();
    },
    stop: () => {
      isOver = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", woken);
    },
  };
}

/* Seconds that are left, counted down in an element; `over` is called at zero. */
let counting = 0;
export function countDown(element, seconds, over) {
  clearInterval(counting);
  const end = performance.now() + 1000 * seconds;
  const tick = () => {
    const left = Math.max(0, Math.ceil((end - performance.now()) / 1000));
    element.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    if (left > 0) return;
    clearInterval(counting);
    over();
  };
  tick();
  counting = setInterval(tick, 250);
}
