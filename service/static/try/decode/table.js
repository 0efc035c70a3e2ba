/** Tables in text form: CSV and JSON -> {columns: [{name, values: [text]}]}. */

/** The table in a file's text; null if there is none. */
export function decodeTable(text) {
  return /^\s*[[{]/.test(text) ? fromJson(JSON.parse(text)) : fromCsv(text);
}

/** The columns whose values are all numbers, as {name, values: [number]}. */
export function numeric(table) {
  return table.columns
    .map(({ name, values }) => ({ name, values: values.map((v) => (v === "" || v === null ? NaN : Number(v))) }))
    .filter(({ values }) => values.some((v) => !Number.isNaN(v)))
    .filter(({ values }, i, all) => all.length && values.filter(Number.isNaN).length < values.length / 2);
}

/** The first column of dates or times, as Date or number; null if there is none. */
export function times(table) {
  const named = table.columns.find(({ name }) => /^(time|date|timestamp|t$)/i.test(name));
  if (!named) return null;
  if (named.values.every((v) => v !== "" && !Number.isNaN(Number(v)))) {
    return { name: named.name, values: named.values.map(Number) };
  }
  const dates = named.values.map((v) => new Date(String(v).replace(" ", "T")));
  return dates.some((d) => Number.isNaN(d.getTime())) ? null : { name: named.name, values: dates };
}

function fromCsv(text) {
  const lines = text.split(/\r?\n/).filter((line) => line.trim());
  if (!lines.length) return null;
  const separator = [",", ";", "\t"].sort((a, b) => lines[0].split(b).length - lines[0].split(a).length)[0];
  const rows = lines.map((line) => cells(line, separator));
  const headed = rows[0].some((cell) => cell === "" || Number.isNaN(Number(cell)));
  const names = headed ? rows.shift() : rows[0].map((_, i) => `column ${i + 1}`);
  return { columns: names.map((name, i) => ({ name, values: rows.map((row) => row[i] ?? "") })) };
}

function cells(line, separator) {
  const found = [];
  let cell = "";
  let quoted = false;
  for (const character of line) {
    if (character === '"') quoted = !quoted;
    else if (character === separator && !quoted) {
      found.push(cell.trim());
      cell = "";
    } else cell += character;
  }
  return [...found, cell.trim()];
}

function fromJson(value) {
  const inner = value.inputs ?? value.table ?? value;
  if (Array.isArray(inner)) {
    if (inner.every((v) => typeof v === "number")) return { columns: [{ name: "target", values: inner }] };
    const names = [...new Set(inner.flatMap((row) => Object.keys(row)))];
    return { columns: names.map((name) => ({ name, values: inner.map((row) => row[name] ?? "") })) };
  }
  const columns = Object.entries(inner).filter(([, values]) => Array.isArray(values));
  return { columns: columns.map(([name, values]) => ({ name, values })) };
}
