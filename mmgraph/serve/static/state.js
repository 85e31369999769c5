// What the page shows stands in the address after "#", so that links can be shared and the back button works.

const TEXTS = ["q", "like", "not", "id", "type", "where", "image", "node", "view", "colour"];
const VIEWS = ["", "map", "network"];
export const FIRST = 12;

export function parse(hash) {
  const params = new URLSearchParams(hash.replace(/^#/, ""));
  const state = Object.fromEntries(TEXTS.map((name) => [name, params.get(name) ?? ""]));
  state.basket = params.getAll("from").filter(Boolean);
  state.k = whole(params.get("k"), FIRST);
  state.hops = Math.min(whole(params.get("hops"), 1), 2);
  if (!VIEWS.includes(state.view)) state.view = "";
  return state;
}

export function format(state) {
  const params = new URLSearchParams();
  for (const name of TEXTS) if (state[name]) params.set(name, state[name]);
  for (const id of state.basket) params.append("from", id);
  if (state.k !== FIRST) params.set("k", state.k);
  if (state.hops !== 1) params.set("hops", state.hops);
  return params.toString();
}

function whole(text, otherwise) {
  const value = Number.parseInt(text ?? "", 10);
  return Number.isFinite(value) && value > 0 ? value : otherwise;
}

/** The part that says what is looked for; equal keys give equal results but for their number. */
export function askKey(state) {
  const { q, like, not, id, type, where, image, basket } = state;
  return JSON.stringify([q, like, not, id, type, where, image, basket]);
}

export const EMPTY_ASK = { q: "", like: "", not: "", id: "", image: "", basket: [], k: FIRST };

const listeners = [];
let current = parse(location.hash);

export const state = () => current;

export const listen = (listener) => listeners.push(listener);

/** Change the state; `replace` for changes that deserve no step back. */
export function go(changes, { replace = false } = {}) {
  const next = { ...current, ...changes };
  const text = format(next);
  if (text !== format(current)) {
    const url = text ? `#${text}` : location.pathname + location.search;
    history[replace ? "replaceState" : "pushState"](null, "", url);
  }
  tell(next);
}

function tell(next) {
  const before = current;
  current = next;
  for (const listener of listeners) listener(next, before);
}

addEventListener("popstate", () => tell(parse(location.hash)));
addEventListener("hashchange", () => {
  const next = parse(location.hash);
  if (format(next) !== format(current)) tell(next);
});
