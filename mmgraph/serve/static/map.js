// The map pane: loads the points, joins view, input, legend and selection, and marks what the results show.
import { get } from "./api.js";
import { onTheme } from "./colours.js";
import { announce, h, number } from "./dom.js";
import { icon } from "./icons.js";
import { listenTo } from "./map-input.js";
import { buildLegend } from "./map-legend.js";
import { Points } from "./map-points.js";
import { buildSelection } from "./map-selection.js";
import { MapView } from "./map-view.js";
import { node, recall, shortName } from "./nodes.js";
import { go } from "./state.js";

const MOST = 100_000;
const REFINED_AFTER = [4000, 12_000, 30_000]; // the server may place nodes better a little later

export function buildMap(section, about, { onKey }) {
  const view = new MapView();
  const legend = buildLegend(view);
  const selection = buildSelection(view);
  const status = h("p", { class: "note status" });
  let loaded = null;
  let hits = [];
  let focus = "";
  let wanted = null;
  let timer;

  const columns = (about.columns ?? []).filter((column) => column.kind === "category").map((column) => column.name);
  const colour = h(
    "select",
    { id: "colour", on: { change: () => go({ colour: colour.value }, { replace: true }) } },
    [...new Set(["type", ...columns])].map((name) => h("option", { value: name }, name)),
  );
  const move = tool("move", "Move the map", () => setMode("move"));
  const lasso = tool("lasso", "Draw around nodes to list them (or hold Shift)", () => setMode("lasso"));
  const input = listenTo(view, { onHover, onOpen: open, onLasso: (polygon) => choose(polygon), onCentre });
  section.append(
    h(
      "div",
      { class: "tools", role: "toolbar", "aria-label": "Map tools" },
      h(
        "label",
        { class: "field inline", hidden: columns.length === 0 && Object.keys(about.node_types ?? {}).length < 2 },
        h("span", {}, "Colour"),
        colour,
      ),
      h("span", { class: "group" }, move, lasso),
      h(
        "span",
        { class: "group" },
        tool("plus", "Zoom in", () => view.zoomAt(1.6)),
        tool("minus", "Zoom out", () => view.zoomAt(1 / 1.6)),
        tool("fit", "Show all", () => view.fit()),
      ),
      h(
        "button",
        {
          type: "button",
          class: "quiet",
          id: "in-view",
          title: "List the nodes in view",
          on: { click: () => chooseView() },
        },
        icon("list"),
        h("span", {}, "In view"),
      ),
    ),
    view.box,
    h(
      "p",
      { class: "unseen", id: "map-keys" },
      "Arrow keys move, plus and minus zoom, 0 shows all, Enter opens the node in the middle.",
    ),
    status,
    selection.element,
    legend.element,
  );
  setMode("move");
  onTheme(() => (legend.draw(), view.redraw()));

  function tool(name, label, click) {
    return h(
      "button",
      { type: "button", class: "quiet tool", "aria-label": label, title: label, on: { click } },
      icon(name),
    );
  }

  function setMode(mode) {
    move.setAttribute("aria-pressed", String(mode === "move"));
    lasso.setAttribute("aria-pressed", String(mode === "lasso"));
    input.setMode(mode);
  }

  async function load(by, attempt = 0) {
    if (loaded === by && attempt === 0) return;
    loaded = by;
    clearTimeout(timer);
    if (!view.points) say("Loading the map…");
    try {
      const answer = await get("map", { limit: MOST, colour_by: by });
      if (loaded !== by) return;
      use(answer);
      if (attempt < REFINED_AFTER.length) timer = setTimeout(() => load(by, attempt + 1), REFINED_AFTER[attempt]);
    } catch (error) {
      loaded = null;
      if (attempt > 0) return;
      status.replaceChildren(
        h("span", { class: "problem" }, error.message),
        " ",
        error.status === 401
          ? onKey(() => load(by))
          : h("button", { type: "button", on: { click: () => load(by) } }, "Try again"),
      );
    }
  }

  function use(answer) {
    if (view.points && same(view.points.answer, answer)) return;
    const regrouped = !view.points || view.points.answer.colour_by !== answer.colour_by;
    view.points = new Points(answer);
    view.points.answer = answer;
    if (regrouped) view.shown = null;
    if ([...colour.options].every((option) => option.value !== answer.colour_by))
      colour.append(h("option", { value: answer.colour_by }, answer.colour_by));
    colour.value = answer.colour_by;
    const partial = about.nodes > answer.ids.length ? ` of ${number(about.nodes)}` : "";
    say(
      answer.ids.length
        ? `${number(answer.ids.length)}${partial} nodes, placed by their embeddings. Near means alike.`
        : "No nodes to draw.",
    );
    section.dataset.ready = "true";
    if (regrouped) selection.close();
    legend.draw();
    mark();
    if (wanted !== null) locate(wanted);
  }

  const say = (text) => status.replaceChildren(text);

  /** Results and the open node, as far as the map has them. */
  function mark() {
    if (!view.points) return;
    const where = (id) => view.points.index.get(String(id)) ?? -1;
    view.hits = hits.map((hit) => where(hit.id)).filter((i) => i >= 0);
    view.focus = focus ? where(focus) : -1;
    view.redraw();
  }

  /** Bring a node to the middle. */
  function locate(id) {
    if (!view.points) return (wanted = id); // the map is not there yet
    wanted = null;
    const i = view.points.index.get(String(id)) ?? -1;
    if (i < 0) return announce("This node is not on the map");
    view.flyTo(i);
    view.marks.focus({ preventScroll: true });
  }

  function open(i) {
    go({ node: String(view.points.ids[i]), view: "network", hops: 1 });
  }

  let waiting;
  function onHover(i, at) {
    if (i === view.hover && i < 0) return;
    view.hover = i;
    view.remark();
    clearTimeout(waiting);
    view.label.hidden = i < 0;
    view.marks.classList.toggle("over", i >= 0);
    if (i < 0) return;
    describe(i);
    const [x, y] = at ?? [view.width / 2, view.height / 2];
    const besides = x > view.width / 2 ? "calc(-100% - 14px)" : "14px"; // towards the middle, where there is room
    const above = y > view.height / 2 ? "calc(-100% - 6px)" : "6px";
    view.label.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px) translate(${besides}, ${above})`;
    const id = view.points.ids[i];
    if (recall(id)?.text === undefined)
      waiting = setTimeout(
        () =>
          node(id)
            .then(() => view.hover === i && describe(i))
            .catch(() => {}),
        140,
      );
  }

  function describe(i) {
    const id = view.points.ids[i];
    const group = view.points.groups[view.points.group[i]];
    view.label.replaceChildren(
      h("strong", {}, recall(id) ? shortName(recall(id), 80) : String(id)),
      h("span", {}, group.none ? "" : group.name),
    );
  }

  let telling;
  function onCentre(i) {
    onHover(i);
    clearTimeout(telling);
    if (i < 0) return;
    telling = setTimeout(async () => {
      const found = await node(view.points.ids[i]).catch(() => ({ id: view.points.ids[i] }));
      if (view.hover === i) announce(`In the middle: ${shortName(found, 60)}`);
    }, 300);
  }

  function choose(polygon) {
    if (!view.points) return;
    selection.show(view.points.inside(polygon, view.visible()));
  }

  function chooseView() {
    const [left, top] = view.toMap(0, 0);
    const [right, bottom] = view.toMap(view.width, view.height);
    choose([
      [left, top],
      [right, top],
      [right, bottom],
      [left, bottom],
    ]);
  }

  return {
    sync(state) {
      load(state.colour);
      if (focus === state.node) return;
      focus = state.node;
      mark();
    },
    setHits(found) {
      hits = found;
      mark();
    },
    /** Ring the node whose card the pointer is on. */
    peek(id) {
      const i = view.points?.index.get(id) ?? -1;
      if (i === view.hover) return;
      view.hover = i;
      view.remark();
    },
    locate,
  };
}

/** Whether two answers would draw the same map; a look at some points is enough. */
function same(a, b) {
  if (a.ids.length !== b.ids.length || a.colour_by !== b.colour_by) return false;
  const step = Math.max(1, Math.floor(a.ids.length / 200));
  for (let i = 0; i < a.ids.length; i += step)
    if (a.x[i] !== b.x[i] || a.y[i] !== b.y[i] || a.ids[i] !== b.ids[i]) return false;
  return true;
}
