/* window.UrialPage: what Gradio's side calls. It attaches the host, reads the form, and hands batches on. */

const hosts = {};
const conversation = createConversation(
  () => hosts.compare.server,
  { trigger: (name, data) => hosts.compare.trigger(name, data) },
);

function attach(name, element, trigger, server) {
  hosts[name] = { element: element.querySelector("[data-host]"), trigger, server };
  if (name === "compare") settleCompare(hosts.compare.element);
}

function settleCompare(element) {
  const turns = make("div", { id: "turns" });
  element.append(turns);
  conversation.settle(turns);
}

/* The form's values by name; a method comes as "name/examples". */
function valuesOf(list) {
  const values = Object.fromEntries(FORM_FIELDS.map((name, index) => [name, list[index]]));
  const [method, examples] = String(values.method).split("/");
  return { ...values, method, examples: examples === undefined ? null : Number(examples) };
}

window.UrialPage = {
  attach,
  receive: conversation.receive,
  ask: (list, text) => {
    conversation.ask({ ...valuesOf(list), ...(text === null || text === undefined ? {} : { query: text }) });
  },
  goOn: (text, list) => {
    conversation.goOn({ ...valuesOf(list), query: text });
  },
};

/* Shift+Enter breaks the line: Gradio's box would send. Listening first keeps the browser's own line break. */
document.addEventListener(
  "keypress",
  (event) => {
    if (event.key === "Enter" && event.shiftKey && event.target.closest("#query, #follow-query")) event.stopPropagation();
  },
  true,
);
