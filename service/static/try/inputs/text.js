/** One text, or two for heads that compare. */

import { html } from "../vendor/lit-html/lit-html.js";
import { live } from "../vendor/lit-html/directives/live.js";

const TYPED = "typed input";

export const text = {
  accept: ".txt,.json,text/plain",
  async show() {
    return { kind: "none" };
  },
  async fromFile(file, head) {
    const content = (await file.text()).trim();
    if (!isPair(head)) return { json: content };
    const [first = "", second = ""] = content.split(/\r?\n|\t/);
    return { json: { text: first, text_pair: second } };
  },
  empty(head) {
    return { name: TYPED, json: isPair(head) ? { text: "", text_pair: "" } : "" };
  },
  editor(input, head, change) {
    const value = input?.json ?? text.empty(head).json;
    if (!isPair(head)) return area("Text", value, (typed) => change({ name: TYPED, json: typed }));
    const edit = (field) => (typed) => change({ name: TYPED, json: { ...value, [field]: typed } });
    return [area("First text", value.text, edit("text")), area("Second text", value.text_pair, edit("text_pair"))];
  },
};

function isPair(head) {
  return head.preprocess.parameters.pair === true;
}

function area(label, value, change) {
  return html`<label>${label}
    <textarea rows="4" .value=${live(value)} @input=${(event) => change(event.target.value)}></textarea>
  </label>`;
}
