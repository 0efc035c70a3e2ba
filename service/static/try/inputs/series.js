/** Time series and motion sensors: columns of numbers, drawn as lines. */

import { decodeTable, numeric, times } from "../decode/table.js";

/** `noun` is what the columns are called; `inWindows` as in index.js. */
export function series(noun, inWindows = false) {
  return {
    accept: ".csv,.tsv,.json,.parquet",
    inWindows,
    async show({ file }) {
      const table = decodeTable(await file.text());
      if (!table) return null;
      const time = times(table);
      const columns = numeric(table).filter(({ name }) => name !== time?.name);
      return columns.length ? { kind: "lines", time, columns, noun } : null;
    },
  };
}
