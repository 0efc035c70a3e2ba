/** Molecules: SMILES can be typed; MOL and SDF files are sent as they are. */

import { html } from "../vendor/lit-html/lit-html.js";
import { live } from "../vendor/lit-html/directives/live.js";

export const graph = {
  accept: ".smi,.smiles,.mol,.sdf,.json,.txt",
  async fromFile(file) {
    const content = await file.text();
    const smiles = !content.includes("M  END") && !/^\s*[{[]\s*["{]/.test(content);
    return smiles ? { json: content.trim().split(/\s+/)[0] ?? "" } : null;
  },
  async show(input) {
    const { Molecule } = await import("../vendor/openchemlib/openchemlib.js");
    const molecule = input.file
      ? Molecule.fromMolfile((await input.file.text()).split("$$$$")[0])
      : Molecule.fromSmiles(input.json);
    return molecule.getAllAtoms() ? { kind: "molecule", molecule, name: input.name } : null;
  },
  empty() {
    return { name: "typed input", json: "CCO" };
  },
  editor(input, _, change) {
    return html`<label>SMILES
      <input type="text" spellcheck="false" autocomplete="off" .value=${live(input?.json ?? "")}
        placeholder=${input?.file ? `from ${input.name}` : "CCO"}
        @input=${(event) => change({ name: "typed input", json: event.target.value.trim() })}>
    </label>`;
  },
};
