// Nodes that have been seen, by id. Few requests at a time, so that browsing does not crowd out searches.
import { get } from "./api.js";

const KEPT = 2000;
const AT_ONCE = 3;
const known = new Map();
const asked = new Map();
const waiting = [];
let running = 0;

/** Keep what an answer said about a node. */
export function remember(node) {
  const id = String(node.id);
  const before = known.get(id);
  known.delete(id); // the newest stand last
  known.set(id, { ...before, ...node });
  if (known.size > KEPT) known.delete(known.keys().next().value);
}

export const recall = (id) => known.get(String(id));

/** A node with its degree; from memory where possible. */
export async function node(id) {
  const found = recall(id);
  if (found && found.degree !== undefined) return found;
  const key = String(id);
  if (!asked.has(key))
    asked.set(
      key,
      ask(key).finally(() => asked.delete(key)),
    );
  return asked.get(key);
}

async function ask(id) {
  if (running >= AT_ONCE) await new Promise((resolve) => waiting.push(resolve));
  running += 1;
  try {
    const found = await get(`nodes/${encodeURIComponent(id)}`);
    remember(found);
    return recall(id) ?? found;
  } finally {
    running -= 1;
    waiting.shift()?.();
  }
}

const NAMES = ["title", "name", "label"];

/** What to call a node: its title, else its text, else its id. */
export function nameOf(item) {
  const columns = item.columns ?? {};
  const title = NAMES.map((name) => columns[name]).find((value) => typeof value === "string" && value.trim());
  return title ?? (item.text && item.text.trim() ? item.text : String(item.id));
}

/** A name of at most `length` characters. */
export function shortName(item, length = 40) {
  const name = nameOf(item).replace(/\s+/g, " ").trim();
  const letters = [...name];
  return letters.length <= length
    ? name
    : `${letters
        .slice(0, length - 1)
        .join("")
        .trimEnd()}…`;
}
