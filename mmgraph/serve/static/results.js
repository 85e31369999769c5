// Asks the server what the address says, and shows the answer.
import { get, postForm, postJson } from "./api.js";
import { card, look, skeleton } from "./cards.js";
import { announce, h, number, plural } from "./dom.js";
import { fileOf } from "./image-input.js";
import { node, recall, remember, shortName } from "./nodes.js";
import { askKey, go } from "./state.js";

export function buildResults(section, about, { startLike, onHits, onPeek, onFilter, onKey }) {
  const actions = { startLike, canLike: (about.modalities ?? []).includes("text") };
  const typed = (id) => (about.id_type === "int" && /^-?\d+$/.test(id) ? Number(id) : id);
  look.types = Object.keys(about.node_types ?? {}).length > 1;
  let asking = null;
  let shown = { key: null, hits: [] };

  for (const event of ["pointerover", "focusin"]) {
    section.addEventListener(event, ({ target }) => onPeek(target.closest(".card")?.dataset.id ?? ""));
  }
  for (const event of ["pointerleave", "focusout"]) section.addEventListener(event, () => onPeek(""));

  async function ask(state) {
    const key = askKey(state);
    const more = shown.key === key && state.k > shown.hits.length && shown.hits.length > 0;
    if (shown.key === key && shown.k === state.k) return;
    asking?.abort();
    if (isEmpty(state)) {
      shown = { key, k: state.k, hits: [] };
      onHits([]);
      return welcome();
    }
    const control = (asking = new AbortController());
    section.setAttribute("aria-busy", "true");
    const before = more ? shown.hits : [];
    shown = { key, k: state.k, hits: before }; // now, or opening a node meanwhile would ask again
    if (!more) {
      section.replaceChildren(
        heading(state, "Searching…"),
        h("div", { class: "hits" }, Array.from({ length: 6 }, skeleton)),
      );
    }
    try {
      const answer = await request(state, control.signal);
      if (control.signal.aborted) return;
      answer.hits.forEach(remember);
      show(state, answer, before.length);
      shown = { key, k: state.k, hits: answer.hits };
      onHits(answer.hits);
    } catch (error) {
      if (error.name === "AbortError" || control.signal.aborted) return;
      shown = { key, k: state.k, hits: [] };
      onHits([]);
      fail(state, error);
    } finally {
      if (asking === control) section.removeAttribute("aria-busy");
    }
  }

  function request(state, signal) {
    const { type, where } = state;
    const k = Math.min(state.k, about.max_k ?? state.k);
    if (state.basket.length) {
      return postJson(
        "recommend",
        { history: state.basket.map(typed), k, type: type || null, where: where || null },
        signal,
      );
    }
    if (state.id) return get("similar", { id: state.id, k, type, where }, signal);
    const fields = { text: state.q, like: state.like, not: state.not, k, type, where };
    if (!state.image) return get("search", fields, signal);
    const image = fileOf(state.image);
    if (!image) throw new Error("The picture of this search is not part of the link. Choose it again.");
    return postForm("search", { ...fields, image }, signal);
  }

  function show(state, { hits, took_ms: took }, already) {
    const list = h(
      "ol",
      { class: "hits" },
      hits.map((hit, place) => h("li", {}, card(hit, actions, place + 1))),
    );
    const most = about.max_k ?? Infinity;
    const more = hits.length >= state.k && hits.length < Math.min(most, about.nodes ?? most);
    const time = typeof took === "number" ? ` in ${took < 10 ? took.toFixed(1) : Math.round(took)} ms` : "";
    const count = hits.length ? plural(hits.length, "result") + time : "";
    section.replaceChildren(
      heading(state, count),
      hits.length ? list : nothing(state),
      more
        ? h(
            "button",
            {
              type: "button",
              class: "more",
              on: { click: () => go({ k: Math.min(state.k * 2, most) }, { replace: true }) },
            },
            "More results",
          )
        : "",
    );
    announce(
      hits.length ? `${plural(hits.length, "result")} for ${describe(state)}` : `Nothing found for ${describe(state)}`,
    );
    if (already) list.children[already]?.querySelector(".name")?.focus();
  }

  function nothing(state) {
    const narrow = state.where || state.type;
    return h(
      "div",
      { class: "empty" },
      h("p", {}, "Nothing found."),
      narrow ? h("p", { class: "note" }, "The filter or the type may leave nothing over.") : null,
      narrow
        ? h("button", { type: "button", on: { click: () => go({ where: "", type: "" }) } }, "Search without them")
        : null,
    );
  }

  function fail(state, error) {
    const retry = () => {
      shown = { key: null, hits: [] };
      ask(state);
    };
    section.replaceChildren(
      heading(state, ""),
      h(
        "div",
        { class: "problem", role: "alert" },
        h("p", {}, error.message),
        error.status === 401 ? onKey(retry) : h("button", { type: "button", on: { click: retry } }, "Try again"),
        state.where
          ? h("button", { type: "button", on: { click: () => go({ where: "" }) } }, "Search without the filter")
          : null,
      ),
    );
    if (state.where && error.status === 400 && /filter|where|column/i.test(error.message)) onFilter();
  }

  function heading(state, count) {
    return h("header", { class: "heading" }, h("h2", {}, title(state)), h("p", { class: "note" }, count));
  }

  function title(state) {
    if (state.basket.length) return [`Goes with the ${plural(state.basket.length, "node")} of the basket`];
    if (state.id) return ["Similar to ", named(state.id)];
    const parts = state.like ? ["Like ", named(state.like), state.q || state.image ? ", but " : ""] : [];
    if (state.q) parts.push(h("q", {}, state.q));
    if (state.image) parts.push(state.q || state.like ? " with a picture" : "A picture");
    if (state.not) parts.push(", not ", h("q", {}, state.not));
    return parts;
  }

  function named(id) {
    const label = h(
      "button",
      { type: "button", class: "link", on: { click: () => go({ node: id, view: "network", hops: 1 }) } },
      id,
    );
    const use = (found) => (label.textContent = shortName(found, 48));
    if (recall(id)) use(recall(id));
    else
      node(id)
        .then(use)
        .catch(() => {});
    return label;
  }

  async function welcome() {
    const list = h("ol", { class: "hits" });
    section.replaceChildren(
      h("header", { class: "heading" }, h("h2", {}, "Start anywhere"), h("p", { class: "note" }, intro(about))),
      list,
    );
    const found = await Promise.allSettled((about.examples ?? []).map((id) => node(id)));
    if (!list.isConnected) return;
    const examples = found.filter((one) => one.status === "fulfilled").map((one) => one.value);
    list.append(...examples.map((item) => h("li", {}, card(item, actions))));
  }

  return { ask };
}

const isEmpty = (state) => !(state.q || state.id || state.image || state.not || state.basket.length);

export function describe(state) {
  if (state.basket.length) return "the basket";
  if (state.id) return recall(state.id) ? shortName(recall(state.id), 40) : state.id;
  return state.q || (state.image ? "a picture" : "the query");
}

function intro(about) {
  const ways = [];
  if (about.modalities?.includes("text")) ways.push("words");
  if (about.modalities?.includes("image")) ways.push("a picture");
  ways.push("a node");
  const last = ways.pop();
  const found = ways.length ? `${ways.join(", ")} or ${last}` : last;
  return `${number(about.nodes ?? 0)} nodes, found by ${found}. Some to begin with:`;
}
