// Nodes that the visitor keeps, to ask for what goes with them. Lasts as long as the tab.
import { announce, h, plural } from "./dom.js";
import { icon } from "./icons.js";
import { node, recall, remember, shortName } from "./nodes.js";
import { EMPTY_ASK, go } from "./state.js";
import { tile } from "./tiles.js";

const MOST = 100;
let ids = [];
let store = "";
let dock;

export const inBasket = (id) => ids.includes(String(id));

export function startBasket(element, graph) {
  dock = element;
  store = `mmgraph-basket-${graph}`;
  try {
    const kept = JSON.parse(sessionStorage.getItem(store) ?? "[]");
    ids = Array.isArray(kept) ? kept.filter((id) => typeof id === "string").slice(0, MOST) : [];
  } catch {
    ids = [];
  }
  draw();
}

/** Take over what a link recommends from. */
export function setBasket(next) {
  if (next.length && JSON.stringify(next) !== JSON.stringify(ids)) change(next);
}

export function toggle(item) {
  const id = String(item.id);
  remember(item);
  if (inBasket(id)) {
    change(ids.filter((one) => one !== id));
    announce(`Removed from the basket, ${plural(ids.length, "node")} left`);
  } else addAll([item]);
}

export function addAll(items) {
  const fresh = items.map((item) => String(item.id)).filter((id) => !inBasket(id));
  const free = MOST - ids.length;
  change([...ids, ...fresh.slice(0, free)]);
  announce(fresh.length > free ? `The basket holds ${MOST} nodes at most` : `Basket: ${plural(ids.length, "node")}`);
}

function change(next) {
  ids = [...new Set(next)].slice(0, MOST);
  try {
    sessionStorage.setItem(store, JSON.stringify(ids));
  } catch {
    // the basket then lasts as long as the page
  }
  draw();
}

function draw() {
  for (const button of document.querySelectorAll("[data-basket]")) {
    button.setAttribute("aria-pressed", String(inBasket(button.dataset.basket)));
  }
  const hadFocus = dock.contains(document.activeElement);
  dock.hidden = ids.length === 0;
  document.body.classList.toggle("docked", ids.length > 0);
  dock.replaceChildren(
    h(
      "span",
      { class: "count" },
      icon("basket"),
      h("strong", {}, String(ids.length)),
      h("span", { class: "unseen" }, " in the basket"),
    ),
    h("ul", {}, ids.map(entry)),
    h("button", { type: "button", class: "primary", id: "recommend", on: { click: recommend } }, "Recommend"),
    h("button", { type: "button", class: "quiet", id: "empty", on: { click: empty } }, "Empty"),
  );
  if (hadFocus && ids.length) dock.querySelector("#recommend").focus();
}

function entry(id) {
  const item = h("li", {});
  const show = (found) => {
    const name = shortName(found, 60);
    item.replaceChildren(
      h(
        "button",
        {
          type: "button",
          title: name,
          "aria-label": name,
          on: { click: () => go({ node: id, view: "network", hops: 1 }) },
        },
        tile(found, "tile small"),
      ),
      h(
        "button",
        {
          type: "button",
          class: "remove",
          "aria-label": `Remove ${name} from the basket`,
          title: "Remove",
          on: { click: () => toggle(found) },
        },
        icon("close"),
      ),
    );
  };
  const known = recall(id);
  show(known ?? { id });
  if (known) return item;
  node(id)
    .then(show)
    .catch(() => {});
  return item;
}

function recommend() {
  go({ ...EMPTY_ASK, basket: ids, view: "" });
}

function empty() {
  change([]);
  announce("The basket is empty");
  document.getElementById("results").focus();
}
