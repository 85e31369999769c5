// Columns and values under the filter box; a click writes them into it.
import { h } from "./dom.js";

const SHOWN = 24;

export function filterHelp(columns, input) {
  if (!columns.length) return null;
  const values = h("div", { class: "chips", hidden: true });
  const names = columns.map((column) =>
    h("button", { type: "button", class: "chip", "aria-expanded": "false", on: { click: (event) => choose(column, event.currentTarget) } }, column.name, h("span", { class: "note" }, ` ${column.kind}`)),
  );

  function choose(column, button) {
    for (const other of names) other.setAttribute("aria-expanded", String(other === button));
    const known = column.values ?? [];
    values.hidden = known.length === 0;
    values.replaceChildren(
      ...known.slice(0, SHOWN).map((value) =>
        h("button", { type: "button", class: "chip", on: { click: () => write(`${quotedName(column.name)} = ${quoted(value)}`) } }, String(value)),
      ),
      known.length > SHOWN ? h("span", { class: "note" }, `and ${known.length - SHOWN} more`) : "",
    );
    if (known.length === 0) write(column.kind === "number" ? `${quotedName(column.name)} >= ` : `${quotedName(column.name)} = "`);
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
    h("p", { class: "note" }, "Join conditions with and, or, not. Compare with =, !=, <, <=, >, >=, in (…). Near a node: ", h("code", {}, 'within 2 of "id"')),
  );
}

const quoted = (value) => (typeof value === "number" ? String(value) : `"${String(value).replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`);
const quotedName = (name) => name;
