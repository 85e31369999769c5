// Starts the page: learns what is served, builds the panes, and keeps them in step with the address.
import { get, setKey } from "./api.js";
import { setBasket, startBasket } from "./basket.js";
import { find, h, number } from "./dom.js";
import { buildForm } from "./form.js";
import { icon } from "./icons.js";
import { buildMap } from "./map.js";
import { buildNodePane } from "./node-pane.js";
import { buildResults, describe } from "./results.js";
import { go, listen, state } from "./state.js";

const wide = matchMedia("(min-width: 1000px)");

async function start() {
  const results = find("#results");
  let about;
  try {
    about = await get("about");
  } catch (error) {
    results.replaceChildren(
      h(
        "div",
        { class: "problem", role: "alert" },
        h("p", {}, error.message),
        error.status === 401 ? keyForm(restart) : h("button", { type: "button", on: { click: restart } }, "Try again"),
      ),
    );
    return;
  }
  build(about, results);
}

function restart() {
  find("#results").replaceChildren();
  start();
}

function build(about, results) {
  find("#graph").textContent = about.graph ?? about.name ?? "mmgraph";
  const types = Object.keys(about.node_types ?? {}).length;
  find("#summary").textContent = [
    `${number(about.nodes)} nodes`,
    types > 1 ? `${types} types` : "",
    about.relations?.length ? `${about.relations.length} relations` : "",
  ]
    .filter(Boolean)
    .join(" · ");
  find("#summary").title = [
    `${about.dim} dimensions`,
    about.exact ? "exact search" : "approximate search",
    `mmgraph ${about.version}`,
    `model ${String(about.model).slice(0, 12)}`,
  ].join(", ");
  startBasket(find("#basket"), about.graph ?? "");

  const form = buildForm(find("#ask"), about);
  const map = buildMap(find("#map"), about, { onKey: keyForm });
  const pane = buildNodePane(find("#network"), about, {
    startLike: form.startLike,
    locate: map.locate,
    onKey: keyForm,
  });
  const list = buildResults(results, about, {
    startLike: form.startLike,
    onHits: map.setHits,
    onPeek: map.peek,
    onFilter: form.blame,
    onKey: keyForm,
  });
  const views = buildViews();

  function sync(now, before) {
    if (!before || asked({ basket: now.basket }) !== asked({ basket: before.basket })) setBasket(now.basket);
    if (!before || asked(now) !== asked(before)) form.sync(now);
    views.sync(now);
    list.ask(now);
    if (now.view === "map" || wide.matches) map.sync(now);
    pane.sync(now, { focus: Boolean(before) && now.node !== before.node && now.view === "network" });
    document.title = asked(now) === asked({}) ? `${about.graph} – mmgraph` : `${describe(now)} – ${about.graph}`;
  }

  listen(sync);
  wide.addEventListener("change", () => sync(state(), state()));
  addEventListener("resize", debounce(pane.resize, 200));
  find("#skip").addEventListener("click", () => results.focus());
  sync(state(), null);
  if (wide.matches && !state().node) form.focus();
}

const asked = ({ q = "", like = "", not = "", id = "", image = "", type = "", where = "", basket = [] }) =>
  JSON.stringify([q, like, not, id, image, type, where, basket]);

/** The switch between panes: all three on a phone, map and node beside the results on a wide screen. */
function buildViews() {
  const names = { results: ["list", "Results"], map: ["pin", "Map"], network: ["network", "Node"] };
  const buttons = Object.entries(names).map(([name, [sign, label]]) =>
    h(
      "button",
      {
        type: "button",
        class: `quiet view-${name}`,
        data: { view: name },
        on: { click: () => go({ view: name === "results" ? "" : name }) },
      },
      icon(sign),
      label,
    ),
  );
  const nav = find("#views");
  nav.append(...buttons);
  return {
    sync(now) {
      const side = find("#side"); // moved only when it must be, because moving takes the focus away
      if (wide.matches && nav.parentElement !== side) side.prepend(nav);
      if (!wide.matches && nav.parentElement === side) find("main").before(nav);
      const narrow = now.view || "results";
      const view = wide.matches && narrow === "results" ? "map" : narrow;
      if (!wide.matches && document.body.dataset.view !== view) scrollTo(0, Math.min(scrollY, nav.offsetTop));
      document.body.dataset.view = view;
      for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.view === view));
    },
  };
}

/** Asks for the key of the server. */
function keyForm(retry) {
  const input = h("input", { type: "password", id: "key", autocomplete: "current-password", required: true });
  return h(
    "form",
    {
      class: "key-form",
      on: {
        submit: (event) => {
          event.preventDefault();
          setKey(input.value.trim());
          retry();
        },
      },
    },
    h("label", { class: "field" }, h("span", {}, "API key"), input),
    h("button", { type: "submit", class: "primary" }, "Use key"),
  );
}

function debounce(action, wait) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, wait);
  };
}

start();
