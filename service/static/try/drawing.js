/** Draws into an element once per datum, although the page is rendered after every change. */

import { ref } from "./vendor/lit-html/directives/ref.js";

let callbacks = new WeakMap();

/**
 * A lit directive that calls `draw(element, datum)` when the element or the datum is new, and
 * what `draw` returned, if that is a function, when either is replaced. `datum` is an object;
 * `draw` is identified by its name.
 */
export function drawing(datum, draw) {
  const known = callbacks.get(datum) ?? new Map();
  callbacks.set(datum, known);
  if (!known.has(draw.name)) known.set(draw.name, callback(datum, draw));
  return ref(known.get(draw.name));
}

/** Draw everything again at the next rendering: the colours of the page changed. */
export function drawAgain() {
  callbacks = new WeakMap();
}

function callback(datum, draw) {
  let cleanUp;
  return (element) => {
    cleanUp?.();
    cleanUp = element ? draw(element, datum) : undefined;
    if (typeof cleanUp !== "function") cleanUp = undefined;
  };
}
