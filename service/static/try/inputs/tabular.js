/** Rows of a table, or one row typed into a form made from the head's columns. */

import { html } from "../vendor/lit-html/lit-html.js";
import { live } from "../vendor/lit-html/directives/live.js";
import { decodeTable } from "../decode/table.js";

const TYPED = "form";

export const tabular = {
  accept: ".csv,.tsv,.json,.parquet",
  async show({ file }) {
    if (!file) return { kind: "none" };
    const table = decodeTable(await file.text());
    return table && { kind: "table", ...table };
  },
  empty(head) {
    const row = columnsOf(head).map(({ name, categories, mean }) => [name, categories?.[0] ?? Number(mean.toFixed(1))]);
    return { name: TYPED, json: [Object.fromEntries(row)] };
  },
  editor(input, head, change) {
    if (!input?.json) {
      return html`<button type="button" class="secondary outline" @click=${() => change(tabular.empty(head))}>
        Fill in a form instead</button>`;
    }
    const [row] = input.json;
    const edit = (name, value) => change({ name: TYPED, json: [{ ...row, [name]: value }] });
    return html`<div class="form">${columnsOf(head).map((column) => field(column, row[column.name], edit))}</div>`;
  },
};

function columnsOf(head) {
  return head.preprocess.parameters.columns ?? [];
}

function field({ name, categories }, value, edit) {
  const control = categories?.length
    ? html`<select .value=${live(String(value))} @change=${(event) => edit(name, event.target.value)}>
        ${categories.map((category) => html`<option .selected=${category === value}>${category}</option>`)}
      </select>`
    : html`<input type="number" step="any" .value=${live(String(value ?? ""))}
        @input=${(event) => edit(name, event.target.value === "" ? null : event.target.valueAsNumber)}>`;
  return html`<label>${name}${control}</label>`;
}
