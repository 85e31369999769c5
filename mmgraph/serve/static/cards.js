// One found node: picture, text, id, how near it is and why, and what to do next.
import { inBasket, toggle } from "./basket.js";
import { copy, h } from "./dom.js";
import { icon } from "./icons.js";
import { nameOf, node, recall, shortName } from "./nodes.js";
import { go, EMPTY_ASK } from "./state.js";
import { tile } from "./tiles.js";

const PARTS = [
  ["text", "text"],
  ["image", "picture"],
  ["neighbours", "neighbours"],
];
const COLUMNS = 4;

/** Types are named where there are several. */
export const look = { types: true };

/** `actions`: { startLike, canLike }. */
export function card(hit, actions, rank) {
  const name = nameOf(hit);
  return h(
    "article",
    { class: "card", data: { id: String(hit.id) }, "aria-label": shortName(hit, 80) },
    h(
      "button",
      { type: "button", class: "open", tabindex: "-1", "aria-hidden": "true", on: { click: () => openNode(hit) } },
      tile(hit),
    ),
    h(
      "div",
      { class: "body" },
      h(
        "header",
        {},
        h(
          "h3",
          {},
          h(
            "button",
            {
              type: "button",
              class: "name",
              title: name.length > 120 ? name : null,
              on: { click: () => openNode(hit) },
            },
            name,
          ),
        ),
        hit.score === undefined || hit.score === null
          ? null
          : h(
              "span",
              { class: "score", title: `Place ${rank}; similarity ${hit.score}` },
              h("span", { class: "unseen" }, "Score "),
              hit.score.toFixed(3),
            ),
      ),
      hit.text && hit.text.trim() && hit.text !== name ? h("p", { class: "says" }, hit.text) : null,
      meta(hit),
      bars(hit.parts),
      because(hit.because),
      buttons(hit, actions),
    ),
  );
}

export function openNode(item) {
  go({ node: String(item.id), view: "network", hops: 1 });
}

/** Id to copy, type, and the columns that fit. */
export function meta(item) {
  const id = String(item.id);
  const name = nameOf(item);
  const columns = Object.entries(item.columns ?? {})
    .filter(([, value]) => value !== null && value !== "" && String(value) !== name && String(value) !== id)
    .slice(0, COLUMNS);
  return h(
    "p",
    { class: "meta" },
    h(
      "button",
      {
        type: "button",
        class: "id",
        title: "Copy the id",
        "aria-label": `Copy the id ${id}`,
        on: { click: (event) => copy(id, event.currentTarget) },
      },
      h("code", {}, id),
      icon("copy"),
    ),
    item.type && look.types ? h("span", {}, item.type) : null,
    columns.map(([key, value]) => h("span", { title: key }, h("span", { class: "key" }, `${key} `), String(value))),
  );
}

/** Small bars: how near query and node are, part by part. */
function bars(parts = {}) {
  const shown = PARTS.filter(([key]) => typeof parts?.[key] === "number");
  if (!shown.length) return null;
  return h(
    "ul",
    { class: "bars" },
    shown.map(([key, label]) => {
      const fill = h("span", { class: "fill" });
      fill.style.width = `${Math.round(100 * Math.min(Math.max(parts[key], 0), 1))}%`;
      return h(
        "li",
        { class: key, title: `Cosine of the ${label}: ${parts[key].toFixed(3)}` },
        h("span", { class: "what" }, label),
        h("span", { class: "track" }, fill),
        h("span", { class: "value" }, parts[key].toFixed(2)),
      );
    }),
  );
}

/** Links to what in the basket led here. */
function because(reasons) {
  if (!reasons?.length) return null;
  return h(
    "p",
    { class: "because" },
    h("span", { class: "note" }, "because of "),
    reasons.slice(0, 3).map(({ id, share }) => {
      const label = h("span", {}, recall(id) ? shortName(recall(id), 28) : String(id));
      if (!recall(id))
        node(id)
          .then((found) => (label.textContent = shortName(found, 28)))
          .catch(() => {});
      return h(
        "button",
        { type: "button", class: "chip", on: { click: () => openNode({ id }) } },
        label,
        typeof share === "number" ? h("span", { class: "note" }, ` ${Math.round(100 * share)} %`) : null,
      );
    }),
  );
}

export function buttons(item, { startLike, canLike, locate = null }) {
  const id = String(item.id);
  return h(
    "div",
    { class: "actions" },
    action("similar", "Similar", () => go({ ...EMPTY_ASK, id, view: "" })),
    locate ? action("pin", "On the map", locate) : action("network", "Neighbours", () => openNode(item)),
    canLike ? action("but", "Like this, but…", () => startLike(item)) : null,
    basketButton(item),
  );
}

const action = (name, label, click) => h("button", { type: "button", on: { click } }, icon(name), label);

function basketButton(item) {
  const id = String(item.id);
  const button = h(
    "button",
    { type: "button", class: "keep", data: { basket: id }, "aria-pressed": "false", on: { click: () => toggle(item) } },
    icon("basket"),
    h("span", {}, "Basket"),
  );
  button.setAttribute("aria-pressed", String(inBasket(id)));
  return button;
}

/** Grey cards while an answer is on its way. */
export const skeleton = () =>
  h(
    "div",
    { class: "card skeleton", "aria-hidden": "true" },
    h("span", { class: "tile" }),
    h(
      "div",
      { class: "body" },
      h("span", { class: "line" }),
      h("span", { class: "line short" }),
      h("span", { class: "line thin" }),
    ),
  );
