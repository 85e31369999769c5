// Nodes inside a lasso: how they split into groups, their names, and what to do with them.
import { addAll } from "./basket.js";
import { announce, h, number, plural } from "./dom.js";
import { icon } from "./icons.js";
import { node, recall, shortName } from "./nodes.js";
import { go } from "./state.js";

const LISTED = 200;
const INTO_BASKET = 20;

export function buildSelection(view) {
  const element = h("section", {
    class: "selection",
    id: "selection",
    "aria-label": "Selected nodes",
    tabindex: "-1",
    hidden: true,
    on: { keydown: (event) => event.key === "Escape" && leave() },
  });
  // Names are asked for when their line comes into view: a lasso may hold thousands.
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      node(target.dataset.id)
        .then((found) => (target.querySelector(".what").textContent = shortName(found, 90)))
        .catch(() => {});
    }
  });

  function show(found) {
    if (!found.length) {
      announce("No nodes there");
      return close();
    }
    view.chosen = found;
    view.redraw();
    const ids = found.map((i) => view.points.ids[i]);
    element.hidden = false;
    element.replaceChildren(
      h(
        "header",
        {},
        h("h3", {}, `${plural(found.length, "node")} selected`),
        basket(ids),
        h(
          "button",
          { type: "button", class: "quiet", "aria-label": "Close the selection", title: "Close", on: { click: leave } },
          icon("close"),
        ),
      ),
      shares(found),
      h("ul", { class: "names" }, ids.slice(0, LISTED).map(entry)),
      ids.length > LISTED ? h("p", { class: "note" }, `and ${number(ids.length - LISTED)} more`) : "",
    );
    announce(`${plural(found.length, "node")} selected`);
    element.focus({ preventScroll: true });
  }

  function basket(ids) {
    const some = ids.slice(0, INTO_BASKET);
    const label = ids.length > INTO_BASKET ? `First ${INTO_BASKET} to the basket` : "To the basket";
    return h(
      "button",
      { type: "button", on: { click: () => addAll(some.map((id) => recall(id) ?? { id })) } },
      icon("basket"),
      label,
    );
  }

  function entry(id) {
    const known = recall(id);
    const name = h("span", { class: "what" }, known ? shortName(known, 90) : "");
    const item = h(
      "li",
      { data: { id: String(id) } },
      h(
        "button",
        { type: "button", on: { click: () => go({ node: String(id), view: "network", hops: 1 }) } },
        h("code", {}, String(id)),
        name,
      ),
    );
    if (!known) seen.observe(item);
    return item;
  }

  /** One bar, split as the selection is. */
  function shares(found) {
    const sizes = new Map();
    for (const i of found) sizes.set(view.points.group[i], (sizes.get(view.points.group[i]) ?? 0) + 1);
    if (view.points.groups.length < 2) return null;
    const parts = [...sizes].sort((a, b) => b[1] - a[1]);
    const text = parts
      .slice(0, 4)
      .map(([rank, size]) => `${view.points.groups[rank].name} ${Math.round((100 * size) / found.length)} %`);
    return h(
      "div",
      { class: "shares" },
      h(
        "div",
        { class: "split", "aria-hidden": "true" },
        parts.map(([rank, size]) => {
          const part = h("span", {});
          part.style.flexGrow = size;
          part.style.background = view.colour(rank);
          return part;
        }),
      ),
      h("p", { class: "note" }, text.join(" · ")),
    );
  }

  function leave() {
    close();
    view.marks.focus();
  }

  function close() {
    element.hidden = true;
    element.replaceChildren();
    if (!view.chosen.length) return;
    view.chosen = [];
    view.redraw();
  }

  return { element, show, close };
}
