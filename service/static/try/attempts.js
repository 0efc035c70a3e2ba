/**
 * Tells which of several attempts was started last. What people chose last wins, whatever arrives
 * later: the result of an earlier attempt is dropped.
 */

/** Return a function that starts an attempt; it returns whether that attempt is still the last. */
export function attempts() {
  let last = 0;
  return function begin() {
    const number = ++last;
    return () => number === last;
  };
}
