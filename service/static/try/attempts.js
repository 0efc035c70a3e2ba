/**
 * Tells which of several attempts was started last. The user's last choice wins: the result
 * of an earlier attempt is dropped, whenever it arrives.
 */

/** Return a function that starts an attempt; it returns whether that attempt is still the last. */
export function attempts() {
  let last = 0;
  return function begin() {
    const number = ++last;
    return () => number === last;
  };
}
