/** The atoms of a molecule, coloured, in the order of the input. */

import { html } from "../vendor/lit-html/lit-html.js";
import { colour, largest, percent } from "./scale.js";

export function atoms({ segments, measure, extent }, shown) {
  const most = largest(segments);
  const names = symbols(shown, extent);
  const each = segments.flatMap(({ atom, atoms: some, value }) => (some ?? [atom]).map((number) => ({ number, value })));
  each.sort((a, b) => a.number - b.number);
  return html`<ol class="atoms" aria-label="Atoms">${each.map(({ number, value }) => html`<li
    style="background: ${colour(value / most)}" title=${percent(value, measure)}><strong>${names?.[number] ?? ""}</strong><small>${number}</small></li>`)}</ol>`;
}

/** Elements by their place in the input, if the page counts the atoms as the service does. */
function symbols(shown, { atoms: count, order }) {
  const molecule = shown?.molecule;
  if (!molecule || order !== "input" || molecule.getAllAtoms() !== count) return null;
  return Array.from({ length: count }, (_, i) => molecule.getAtomLabel(i));
}
