// The pane of one node: what it is, and its neighbours as a drawing and as a list.
import { get } from "./api.js";
import { buttons, meta } from "./cards.js";
import { colourAt, onTheme } from "./colours.js";
import { announce, h, plural } from "./dom.js";
import { drawEgo, egoList } from "./ego.js";
import { remember, shortName } from "./nodes.js";
import { go } from "./state.js";
import { tile } from "./tiles.js";

const LIMITS = [0, 40, 70]; // nodes by hops

export function buildNodePane(section, about, { startLike, locate, onKey }) {
  const relations = [...(about.relations ?? [])].sort();
  const colourOf = (relation) => colourAt(relations.indexOf(relation));
  const canLike = (about.modalities ?? []).includes("text");
  let shown = "";
  let loading = null;
  let answer = null;
  let drawnFor = 0; // width

  async function sync(state, { focus = false } = {}) {
    const key = JSON.stringify([state.node, state.hops]);
    if (key === shown) return resize();
    shown = key;
    loading?.abort();
    answer = null;
    if (!state.node)
      return section.replaceChildren(
        h(
          "div",
          { class: "empty" },
          h("p", {}, "No node chosen."),
          h("p", { class: "note" }, "Open one from the results or the map."),
        ),
      );
    const control = (loading = new AbortController());
    section.setAttribute("aria-busy", "true");
    if (!section.querySelector(".ego")) section.replaceChildren(h("p", { class: "note" }, "Loading…"));
    try {
      const asked = { id: state.node, hops: state.hops, limit: LIMITS[state.hops] };
      const found = await get("neighbours", asked, control.signal);
      if (control.signal.aborted) return;
      found.nodes.forEach(remember);
      const item = found.nodes.find(({ id }) => String(id) === state.node);
      answer = { item, found: withCentre(item, found), hops: state.hops };
      draw();
      announce(`${shortName(item, 60)}: ${plural(answer.found.nodes.length - 1, "neighbour")} shown`);
      if (focus) toTop();
    } catch (error) {
      if (error.name === "AbortError" || control.signal.aborted) return;
      const retry = () => {
        shown = "";
        sync(state);
      };
      section.replaceChildren(
        h(
          "div",
          { class: "problem", role: "alert" },
          h("p", {}, error.message),
          error.status === 401 ? onKey(retry) : h("button", { type: "button", on: { click: retry } }, "Try again"),
        ),
      );
    } finally {
      if (loading === control) section.removeAttribute("aria-busy");
    }
  }

  /** After a step the new node is read from its beginning. */
  function toTop() {
    section.scrollTop = 0;
    if (section.getBoundingClientRect().top < 0) section.scrollIntoView();
    section.querySelector("h2")?.focus({ preventScroll: true });
  }

  /** The centre first, however the server sorts. */
  function withCentre(item, { nodes, edges, truncated }) {
    return { nodes: [item, ...nodes.filter(({ id }) => id !== item.id)], edges, truncated };
  }

  function resize() {
    if (section.clientWidth && section.clientWidth !== drawnFor) draw();
  }

  function draw() {
    if (!answer) return;
    const { item, found, hops } = answer;
    drawnFor = section.clientWidth;
    const width = Math.max(drawnFor || 520, 300);
    const count = found.nodes.length;
    const height = Math.round(count < 8 ? 180 + 20 * count : Math.min(Math.max(width * 0.72, 340), 560));
    const walk = (other) => go({ node: String(other.id) });
    const used = relations.filter((relation) => found.edges.some((edge) => edge.relation === relation));
    section.replaceChildren(
      h(
        "header",
        { class: "node" },
        tile(item),
        h(
          "div",
          { class: "body" },
          h("h2", { tabindex: "-1" }, shortName(item, 120)),
          meta(item),
          details(item),
          buttons(item, { startLike, canLike, locate: () => (go({ view: "map" }), locate(item.id)) }),
        ),
      ),
      found.nodes.length > 1
        ? drawing(found, item, { width, height, walk, used, hops })
        : h("p", { class: "empty" }, "This node has no neighbours."),
    );
  }

  function drawing(found, item, { width, height, walk, used, hops }) {
    const outside = found.truncated;
    return h(
      "div",
      {},
      h(
        "div",
        { class: "tools" },
        h(
          "span",
          { class: "group", role: "group", "aria-label": "Hops" },
          [1, 2].map((count) =>
            h(
              "button",
              {
                type: "button",
                class: "quiet",
                "aria-pressed": String(hops === count),
                on: { click: () => go({ hops: count }, { replace: true }) },
              },
              plural(count, "hop"),
            ),
          ),
        ),
        h(
          "p",
          { class: "note" },
          `${plural(found.nodes.length - 1, "neighbour")} shown`,
          outside ? `; the node has ${plural(item.degree ?? 0, "edge")}` : "",
        ),
      ),
      h("div", { class: "drawing" }, drawEgo(found, item.id, { colourOf, onWalk: walk, width, height })),
      h(
        "ul",
        { class: "legend", "aria-label": "Relations" },
        used.map((relation) => {
          const swatch = h("span", { class: "swatch" });
          swatch.style.background = colourOf(relation);
          return h("li", {}, swatch, relation);
        }),
      ),
      h("div", { class: "relations" }, egoList(found, item.id, { colourOf, onWalk: walk })),
    );
  }

  /** The whole text, where the heading had to shorten it. */
  function details(item) {
    const text = item.text ?? "";
    return text.trim() && shortName(item, 120) !== text.replace(/\s+/g, " ").trim()
      ? h("p", { class: "full" }, text)
      : null;
  }

  onTheme(draw);
  return { sync, resize };
}
