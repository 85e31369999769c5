// The drawing of a node and its neighbours. For the eye and the mouse; the list below it says the same in words.
import { h, s } from "./dom.js";
import { layout } from "./ego-layout.js";
import { nameOf, shortName } from "./nodes.js";
import { svgPicture } from "./tiles.js";

export function drawEgo({ nodes, edges }, centre, { colourOf, onWalk, width, height }) {
  const at = layout(nodes, edges, { width, height, centre });
  const many = nodes.length > 26;
  const size = many ? 12 : nodes.length < 10 ? 21 : 17;
  const lines = unique(edges).map((edge) => line(edge, at, colourOf, (id) => (id === centre ? 26 : size)));
  const dots = nodes.toReversed().map((item) => dot(item, at.get(item.id), { size: item.id === centre ? 26 : size, many, centre, onWalk }));
  return s(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: "ego", role: "img", "aria-label": `${nodes.length - 1} neighbours, listed below` },
    s("defs", {}, clip("round-s", size - 2), clip("round-l", 24)),
    s("g", {}, lines),
    s("g", {}, dots),
  );
}

const clip = (id, radius) => s("clipPath", { id }, s("circle", { r: radius }));

/** One line per pair and relation. */
function unique(edges) {
  const seen = new Set();
  return edges.filter(({ source, target, relation }) => {
    const key = JSON.stringify([source, target, relation]);
    if (source === target || seen.has(key)) return false;
    return seen.add(key);
  });
}

function line({ source, target, relation }, at, colourOf, radiusOf) {
  const [a, b] = [at.get(source), at.get(target)];
  if (!a || !b) return null;
  const distance = Math.hypot(b.x - a.x, b.y - a.y) || 1;
  const [ux, uy] = [(b.x - a.x) / distance, (b.y - a.y) / distance];
  const [x, y] = [b.x - ux * (radiusOf(target) + 4), b.y - uy * (radiusOf(target) + 4)];
  const colour = colourOf(relation);
  const outer = a.ring > 0 && b.ring > 0;
  return s(
    "g",
    { class: outer ? "edge outer" : "edge" },
    s("title", {}, relation),
    s("line", { x1: a.x, y1: a.y, x2: x, y2: y, stroke: colour }),
    s("path", { d: `M${x} ${y}l${-7 * ux - 3 * uy} ${-7 * uy + 3 * ux}l${6 * uy} ${-6 * ux}z`, fill: colour }),
  );
}

function dot(item, place, { size, many, centre, onWalk }) {
  const isCentre = item.id === centre;
  const picture = svgPicture(item, { x: -size + 3, y: -size + 3, size: 2 * size - 6, clip: isCentre ? "round-l" : "round-s" });
  const words = shortName(item, isCentre ? 30 : many ? 12 : 18);
  return s(
    "g",
    { transform: `translate(${place.x} ${place.y})`, class: isCentre ? "spot centre" : "spot", on: isCentre ? {} : { click: () => onWalk(item) } },
    s("title", {}, nameOf(item).slice(0, 200)),
    s("circle", { r: size }),
    picture ?? s("text", { class: "letters", dy: "0.35em" }, [...words.replace(/[^\p{L}\p{N}]/gu, "")].slice(0, 2).join("")),
    many && place.ring > 1 ? null : s("text", { class: "name", y: size + 13 }, words),
  );
}

/** Neighbours by relation and direction, as buttons. */
export function egoList({ nodes, edges }, centre, { colourOf, onWalk }) {
  const byId = new Map(nodes.map((item) => [item.id, item]));
  const groups = new Map();
  for (const { source, target, relation } of unique(edges)) {
    if (source !== centre && target !== centre) continue;
    const key = JSON.stringify([relation, source === centre]);
    const other = byId.get(source === centre ? target : source);
    if (other) groups.set(key, [...(groups.get(key) ?? []), other]);
  }
  return [...groups].map(([key, items]) => {
    const [relation, out] = JSON.parse(key);
    const swatch = h("span", { class: "swatch" });
    swatch.style.background = colourOf(relation);
    return h(
      "div",
      { class: "relation" },
      h("h4", {}, swatch, h("span", {}, relation), h("span", { class: "note" }, ` ${out ? "to" : "from"} ${items.length}`)),
      h("ul", { class: "names" }, items.map((item) => h("li", {}, h("button", { type: "button", on: { click: () => onWalk(item) } }, shortName(item, 60))))),
    );
  });
}
