/** The colours of values: red speaks for the answer, blue against it, and the stronger the fuller. */

import { mapped } from "../colours.js";

/** The largest magnitude of an explanation's values, not 0. */
export function largest(segments) {
  return Math.max(1e-12, ...segments.map(({ value }) => Math.abs(value)));
}

/** A colour for a share from -1 to 1 of the largest value. */
export function colour(share) {
  const side = mapped("balance", share < 0 ? 0 : 1);
  return `rgba(${side.map(Math.round).join(", ")}, ${(0.75 * Math.min(1, Math.abs(share))).toFixed(3)})`;
}

/** A value in readable form: shares of a score as percent, others as they are. */
export function percent(value, measure) {
  const sign = value > 0 ? "+" : "";
  return measure.startsWith("share") ? `${sign}${(100 * value).toFixed(Math.abs(value) < 0.01 ? 2 : 0)} %` : `${sign}${Number(value.toPrecision(3))}`;
}
