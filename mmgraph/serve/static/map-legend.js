// Groups of the map with their colours; a click shows one group alone, more clicks add others.
import { PLACES } from "./colours.js";
import { announce, h, number } from "./dom.js";

const MOST = 60;

export function buildLegend(view) {
  const element = h("div", { class: "legend", id: "legend" });

  function draw() {
    const groups = view.points?.groups ?? [];
    const entries = groups.slice(0, MOST).map((group, rank) => {
      const swatch = h("span", { class: "swatch" });
      swatch.style.background = view.colour(rank);
      const on = view.shown?.has(rank) ?? false;
      return h(
        "button",
        { type: "button", class: "chip", "aria-pressed": String(on), on: { click: () => toggle(rank) } },
        swatch,
        group.name,
        h("span", { class: "note" }, ` ${number(group.size)}`),
      );
    });
    element.replaceChildren(
      ...(groups.length > 1 ? entries : []),
      view.shown ? h("button", { type: "button", class: "link", on: { click: reset } }, "Show all") : "",
      groups.length > MOST ? h("span", { class: "note" }, `and ${groups.length - MOST} smaller groups`) : "",
      groups.length > PLACES + 1 ? h("span", { class: "note" }, "Smaller groups share grey.") : "",
    );
  }

  function toggle(rank) {
    const shown = new Set(view.shown ?? []);
    if (!shown.delete(rank)) shown.add(rank);
    view.shown = shown.size ? shown : null;
    update();
    element.children[Math.min(rank, element.children.length - 1)]?.focus();
    announce(
      shown.size
        ? `Shown: ${[...shown].map((one) => view.points.groups[one].name).join(", ")}`
        : "All groups are shown",
    );
  }

  function reset() {
    view.shown = null;
    update();
    element.firstElementChild?.focus();
    announce("All groups are shown");
  }

  function update() {
    draw();
    view.redraw();
  }

  return { element, draw };
}
