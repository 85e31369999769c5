// The drawing of a node and its neighbours. For the eye and the mouse; the list below it says the same in words.
import { h, s } from "./dom.js";
import { layout } from "./ego-layout.js";
import { nameOf, shortName } from "./nodes.js";
import { svgPicture } from "./tiles.js";

const LETTERS = 20; // of a name in the drawing

export function drawEgo({ nodes, edges }, centre, { colourOf, onWalk, width, height }) {
  const at = layout(nodes, edges, { width, height, centre });
  const many = nodes.length > 26;
  const size = many ? 12 : nodes.length < 10 ? 21 : 17;
  const lines = unique(edges).map((edge) => line(edge, at, colourOf, (id) => (id === centre ? 26 : size)));
  const crowded = crowdedNames(nodes, at, width, (id) => (id === centre ? 26 : size));
  const dots = nodes
    .toReversed()
    .map((item) =>
      dot(item, at.get(item.id), {
        size: item.id === centre ? 26 : size,
        crowded: crowded.has(item.id),
        width,
        centre,
        onWalk,
      }),
    );
  return s(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      class: "ego",
      role: "img",
      "aria-label": `${nodes.length - 1} neighbours, listed below`,
    },
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

/** Nodes whose name would lie on another name or node; it shows when the pointer is over them. */
function crowdedNames(nodes, at, width, radiusOf) {
  const boxes = nodes.map(({ id }) => {
    const { x, y } = at.get(id);
    const r = radiusOf(id);
    return [x - r, y - r, x + r, y + r];
  });
  const crowded = new Set();
  nodes.forEach((item, own) => {
    const { y } = at.get(item.id);
    const r = radiusOf(item.id);
    const [half, x] = nameAt(shortName(item, LETTERS), at.get(item.id).x, width);
    const box = [x - half, y + r + 3, x + half, y + r + 16];
    const hit = (other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1];
    if (own > 0 && boxes.some((other, place) => place !== own && hit(other))) crowded.add(item.id);
    else boxes.push(box);
  });
  return crowded;
}

/** Half the width of a name, and where its middle must be to stay inside. */
function nameAt(words, x, width) {
  const half = 3.3 * words.length;
  return [half, Math.min(Math.max(x, half + 2), width - half - 2)];
}

function dot(item, place, { size, crowded, width, centre, onWalk }) {
  const isCentre = item.id === centre;
  const picture = svgPicture(item, {
    x: -size + 3,
    y: -size + 3,
    size: 2 * size - 6,
    clip: isCentre ? "round-l" : "round-s",
  });
  const words = shortName(item, isCentre ? 30 : LETTERS);
  return s(
    "g",
    {
      transform: `translate(${place.x} ${place.y})`,
      class: isCentre ? "spot centre" : crowded ? "spot crowded" : "spot",
      on: isCentre ? {} : { click: () => onWalk(item) },
    },
    s("title", {}, nameOf(item).slice(0, 200)),
    s("circle", { r: size }),
    picture ??
      s("text", { class: "letters", dy: "0.35em" }, [...words.replace(/[^\p{L}\p{N}]/gu, "")].slice(0, 2).join("")),
    s("text", { class: "name", x: nameAt(words, place.x, width)[1] - place.x, y: size + 13 }, words),
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
      h(
        "h3",
        {},
        swatch,
        h("span", {}, relation),
        h("span", { class: "note" }, ` ${out ? "to" : "from"} ${items.length}`),
      ),
      h(
        "ul",
        { class: "names" },
        items.map((item) =>
          h("li", {}, h("button", { type: "button", on: { click: () => onWalk(item) } }, shortName(item, 60))),
        ),
      ),
    );
  });
}
