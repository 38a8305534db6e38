/* The words of the page: names, the glossary, the paper's numbers. Knows nothing about how they are shown. */

const CLASS_NAMES = { u: "unshifted", m: "marginal", s: "shifted", n: "not scored" };
const CLASS_ORDER = ["u", "m", "s"];
const CLASS_MEANING = {
  u: "the base’s first choice",
  m: "the base’s second or third choice",
  s: "below the base’s third choice",
};
/* The same, short enough to stand beside each count. */
const CLASS_PLACES = { u: "base’s 1st choice", m: "2nd or 3rd", s: "below 3rd" };
/* Rows of class n are in no share and no mean; why, by the record's reason. */
const UNSCORED_REASONS = {
  impossible_numbers: "the server’s numbers contradict themselves",
  missing: "the server told no number",
  not_in_base_vocabulary: "the base does not know this token",
};

const METHOD_NAMES = {
  zero_shot: "the question alone",
  vanilla_icl: "plain examples",
  urial: "URIAL",
  urial_no_refusal: "URIAL without refusal",
  retrieval_icl: "retrieved examples",
  icil: "ICIL",
  file: "a prompt file",
};

const STOP_NAMES = {
  stop: "by itself",
  length: "at the length limit",
  cancelled: "by you",
  error: "by an error",
};

/* Lin et al., ICLR 2024 (arXiv 2312.01552), section 2: percentages over the answers to 1,000 queries. */
const PAPER = [
  { pair: "Llama 2 7B → Llama 2 7B Chat", u: 77.7, m: 14.5, s: 7.8 },
  { pair: "Llama 2 7B → Vicuna 7B", u: 82.4, m: 12.8, s: 4.8 },
  { pair: "Mistral 7B → Mistral 7B Instruct", u: 82.2, m: 12.5, s: 5.2 },
];

const GLOSSARY = {
  token: {
    word: "token",
    says: "The unit that a language model reads and writes: a word, a piece of a word, or a sign. A leading space belongs to its token.",
    exact: "o = o₁ … o_T, the token ids that the aligned model produced, never re-tokenised",
  },
  logit: {
    word: "logit",
    says: "The raw score that a model gives each entry of its vocabulary before the scores are turned into probabilities.",
    exact: "P(v) = exp z(v) / Σ_w exp z(w), over the full vocabulary, in 32-bit floats",
  },
  base: {
    word: "base",
    says: "The model as it came out of pretraining: it only ever learned to continue text.",
    exact: "P_base(· | context, o₁ … o_{t−1})",
  },
  aligned: {
    word: "aligned",
    says: "The same model after chat tuning. It answers through its own chat template.",
    exact: "P_aligned(· | chat template of the query, o₁ … o_{t−1})",
  },
  context: {
    word: "The base sees",
    says: "What stands before the answer when the base model scores it: only the question (the paper’s setting), or the whole prompt with its examples.",
    exact: "zero_shot: the query in the same format, no system text, no example. urial: the chosen method’s full prompt",
  },
  rank: {
    word: "base rank",
    says: "The place of the aligned model’s token on the base model’s own list of choices, the most probable first. 1: the base would have said the same.",
    exact: "rank(o_t) = 1 + number of vocabulary entries v with z_base(v) > z_base(o_t); z: the logits",
  },
  unshifted: {
    word: "unshifted",
    says: "The base model’s first choice is this very token. Tuning changed nothing here.",
    exact: "rank = 1",
  },
  marginal: { word: "marginal", says: "The token is the base model’s second or third choice.", exact: "rank = 2 or rank = 3" },
  shifted: {
    word: "shifted",
    says: "The token is not among the base model’s first three: here tuning changed what is said.",
    exact: "rank > 3",
  },
  unscored: {
    word: "not scored",
    says: "A position whose numbers could not be had or cannot be right. It keeps its place in the answer, with a question mark, and is in no share and no mean.",
    exact: "no base rank: what a server told contradicts itself or is missing, or the token is not in the base’s vocabulary",
  },
  kl: {
    word: "KL",
    says: "How far the two models’ whole lists are apart at one position. 0: the same. It is read from the aligned model’s side, and given in nats (1 nat is 1.44 bits).",
    exact: "KL(P_aligned ‖ P_base) = Σ_v P_aligned(v) · ln( P_aligned(v) / P_base(v) ), over the full vocabulary",
  },
  js: {
    word: "JS",
    says: "A symmetric cousin of KL that never exceeds ln 2 = 0.69 nats.",
    exact: "JS = ½ KL(P_aligned ‖ M) + ½ KL(P_base ‖ M), with M = ½ (P_aligned + P_base)",
  },
  needs: {
    word: "tuning needed",
    says: "Mix the aligned model into the base, from 0 % (the base alone) to 100 % (the aligned model alone): so much it takes until this token is the first choice. 0 %: the base says it by itself. Not defined where the token is not the aligned model’s own first choice, as in a sampled answer.",
    exact: "the least λ in [0, 1] at which o_t is the most probable token of (1 − λ) log P_base + λ log P_aligned, over the full vocabulary",
  },
  nats: {
    word: "nats",
    says: "The unit of KL when natural logarithms are used. 1 nat is 1.44 bits.",
    exact: "nats = ln; bits = log₂ = nats / ln 2",
  },
  gap: {
    word: "gap",
    says: "How much more probable the token is to the aligned model than to the base.",
    exact: "P_aligned(o_t) − P_base(o_t), in percentage points",
  },
  rest: {
    word: "the rest",
    says: "The probability of all entries that are not on the list. The lists show true probabilities, not ones scaled up to 100 %.",
    exact: "1 − Σ of the listed probabilities",
  },
  interval: {
    word: "95 % interval",
    says: "Where the share could lie if this answer’s tokens were draws from a longer run. Tokens depend on each other, so the true uncertainty is larger.",
    exact: "Wilson: ( p̂ + z²/2n ± z √( p̂(1−p̂)/n + z²/4n² ) ) / ( 1 + z²/n ), z = 1.96",
  },
  greedy: {
    word: "greedy",
    says: "At every step the most probable token is taken: the same prompt always gives the same answer.",
    exact: "temperature 0: o_t = argmax_v P(v)",
  },
};

/* A method this page does not know, by its own name, as far as there is room. */
function unknownMethod(name) {
  const text = visible(name);
  return [...text].length > 24 ? `${[...text].slice(0, 24).join("")}…` : text;
}

function methodName(settings) {
  const name = Object.hasOwn(METHOD_NAMES, settings.method) ? METHOD_NAMES[settings.method] : unknownMethod(settings.method);
  return settings.method.startsWith("urial") ? `${name}, ${plural(settings.examples, "example")}` : name;
}

/* What the base sees, by context name; the second context is the chosen method's. */
function contextNames(settings) {
  const method = settings ? settings.method : "urial";
  const second = {
    urial: "the URIAL prompt",
    urial_no_refusal: "the URIAL prompt",
    zero_shot: "the question, again",
    vanilla_icl: "the plain examples",
    retrieval_icl: "the retrieved examples",
    icil: "the ICIL prompt",
    file: "the prompt file",
  };
  return { zero_shot: "only the question", urial: Object.hasOwn(second, method) ? second[method] : `the ${unknownMethod(method)} prompt` };
}
