// Columns and values under the filter box; a click writes them into it.
import { h } from "./dom.js";

const SHOWN = 24;

export function filterHelp(columns, input) {
  if (!columns.length) return null;
  const values = h("div", { class: "chips", hidden: true });
  const names = columns.map((column) =>
    h(
      "button",
      {
        type: "button",
        class: "chip",
        "aria-expanded": "false",
        on: { click: (event) => choose(column, event.currentTarget) },
      },
      column.name,
      h("span", { class: "note" }, ` ${column.kind}`),
    ),
  );

  function choose(column, button) {
    for (const other of names) other.setAttribute("aria-expanded", String(other === button));
    const known = column.values ?? [];
    values.hidden = known.length === 0;
    values.replaceChildren(
      ...known
        .slice(0, SHOWN)
        .map((value) =>
          h(
            "button",
            {
              type: "button",
              class: "chip",
              on: { click: () => write(`${quotedName(column.name)} = ${quoted(value)}`) },
            },
            String(value),
          ),
        ),
      known.length > SHOWN ? h("span", { class: "note" }, `and ${known.length - SHOWN} more`) : "",
    );
    if (known.length === 0) write(`${quotedName(column.name)} ${column.kind === "number" ? ">= " : 'contains "'}`);
  }

  function write(condition) {
    const before = input.value.trim();
    input.value = before ? `${before} and ${condition}` : condition;
    input.focus();
    input.setSelectionRange(input.value.length, input.value.length);
  }

  return h(
    "details",
    { class: "help" },
    h("summary", {}, "Columns"),
    h("div", { class: "chips" }, names),
    values,
    h(
      "p",
      { class: "note" },
      "Join with and, or, not. Compare with =, !=, <, <=, >, >=, in (…), contains, starts with, is null. Near a node: ",
      h("code", {}, 'within 2 of "id"'),
    ),
  );
}

// Quotes and backticks are doubled inside; names that are no plain word stand in backticks.
const quoted = (value) => (typeof value === "number" ? String(value) : `"${String(value).replaceAll('"', '""')}"`);
const WORDS = [
  "and",
  "or",
  "not",
  "in",
  "between",
  "contains",
  "starts",
  "with",
  "is",
  "null",
  "within",
  "of",
  "true",
  "false",
];
const isPlain = (name) => /^[\p{L}_][\p{L}\p{N}_]*$/u.test(name) && !WORDS.includes(name.toLowerCase());
export const quotedName = (name) => (isPlain(name) ? name : `\`${name.replaceAll("`", "``")}\``);
