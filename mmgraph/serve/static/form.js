// The search form: words, a picture or an id; type and filter; "like this, but".
import { announce, h } from "./dom.js";
import { filterHelp, quotedName } from "./filter-help.js";
import { icon } from "./icons.js";
import { catchPictures, imageInput } from "./image-input.js";
import { node, shortName } from "./nodes.js";
import { EMPTY_ASK, go, state } from "./state.js";

export function buildForm(form, about) {
  const modalities = about.modalities ?? [];
  const canText = modalities.includes("text");
  const canImage = modalities.includes("image");
  let like = "";

  const by = h(
    "select",
    { id: "by", "aria-label": "Search by", on: { change: adapt } },
    canText || canImage ? h("option", { value: "words" }, "Words") : null,
    h("option", { value: "id" }, "Id"),
  );
  const text = h("input", {
    type: "search",
    id: "text",
    name: "text",
    "aria-label": "Search",
    maxlength: 2000,
    enterkeyhint: "search",
    spellcheck: "false",
  });
  const image = canImage
    ? imageInput({
        maxBytes: about.max_upload_bytes,
        onChange: (token, problem) => (problem ? complain(problem) : (complain(""), token && submit())),
      })
    : null;
  const likeChip = h("span", { class: "chip", id: "like", hidden: true });
  const problem = h("p", { class: "problem", id: "form-problem", role: "alert", hidden: true });
  const types = Object.keys(about.node_types ?? {});
  const type = h(
    "select",
    { id: "type", on: { change: () => (text.value || state().id ? submit() : null) } },
    h("option", { value: "" }, "any"),
    types.map((name) => h("option", { value: name }, name)),
  );
  const where = h("input", {
    id: "where",
    name: "where",
    placeholder: example(about),
    on: { input: () => where.removeAttribute("aria-invalid") },
    spellcheck: "false",
    autocapitalize: "none",
  });
  const not = h("input", { id: "not", name: "not", placeholder: "words to stay away from", maxlength: 2000 });
  const help = filterHelp(about.columns ?? [], where);
  const summary = h("summary", {}, "Refine");
  const refine = h(
    "details",
    { class: "refine" },
    summary,
    h(
      "div",
      { class: "fields" },
      types.length > 1 ? field("Type", type) : null,
      field("Filter", where),
      canText ? field("Not", not) : null,
    ),
    help,
  );
  const roomy = matchMedia("(min-width: 760px)");
  refine.open = roomy.matches;

  form.append(
    h(
      "div",
      { class: "bar" },
      by,
      text,
      image?.button,
      image?.file,
      h(
        "button",
        { type: "submit", class: "primary", "aria-label": "Search" },
        icon("search"),
        h("span", {}, "Search"),
      ),
    ),
    h("div", { class: "chips", id: "parts" }, likeChip, image?.preview),
    problem,
    refine,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
    if (help) help.open = false;
    if (problem.hidden && !roomy.matches) {
      refine.open = false; // the results are below
      text.blur(); // and so is the keyboard of a phone
    }
  });
  if (image) catchPictures(image.take);
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.closest?.("input, textarea, select"))
      return;
    event.preventDefault();
    text.focus();
    text.select();
  });

  function complain(message) {
    problem.textContent = message;
    problem.hidden = !message;
  }

  function adapt() {
    const byId = by.value === "id";
    text.placeholder = byId
      ? `Id of a node${about.examples?.length ? `, such as ${about.examples[0]}` : ""}`
      : like
        ? "but … say what should change"
        : canText
          ? "Words to look for"
          : "Add a picture";
    if (image) image.button.disabled = byId;
    not.disabled = byId;
  }

  function submit() {
    const common = { ...EMPTY_ASK, type: type.value, where: where.value.trim(), view: "" };
    const words = text.value.trim();
    if (by.value === "id") {
      if (!words) return complain("Give the id of a node.");
      complain("");
      return go({ ...common, id: words });
    }
    const picture = image?.token() ?? "";
    const away = not.value.trim();
    if (!words && !picture && !(like && away)) {
      text.focus();
      return complain(
        like
          ? "Say what should change: words, a picture, or what to stay away from."
          : "Give words or a picture to look for.",
      );
    }
    complain("");
    go({ ...common, q: words, image: picture, like, not: away });
  }

  /** Start "like this, but ...": the node becomes part of the question. */
  function startLike(item) {
    setLike(String(item.id));
    by.value = "words";
    text.value = "";
    image?.show("");
    adapt();
    text.focus();
    scrollTo({ top: 0 });
    announce(`Like ${shortName(item)}, but: say what should change`);
  }

  function setLike(id) {
    like = id;
    likeChip.hidden = !id;
    if (!id) return;
    const name = h("span", {}, id);
    likeChip.replaceChildren(
      "Like ",
      name,
      h(
        "button",
        { type: "button", class: "quiet", "aria-label": "No longer like this node", on: { click: dropLike } },
        icon("close"),
      ),
    );
    node(id)
      .then((found) => like === id && (name.textContent = shortName(found, 32)))
      .catch(() => {});
  }

  function dropLike() {
    setLike("");
    adapt();
    text.focus();
  }

  /** Show what the address asks. */
  function sync(now) {
    const recommending = now.basket.length > 0;
    by.value = now.id || by.options.length === 1 ? "id" : "words";
    text.value = recommending ? "" : now.id || now.q;
    type.value = types.includes(now.type) ? now.type : "";
    where.value = now.where;
    where.removeAttribute("aria-invalid");
    not.value = now.not;
    const set = [now.where, now.not, now.type].filter(Boolean).length;
    summary.textContent = set ? `Refine · ${set} set` : "Refine";
    if (set && roomy.matches) refine.open = true;
    image?.show(now.image);
    setLike(now.like);
    complain("");
    adapt();
  }

  /** The server did not understand the filter. */
  function blame() {
    refine.open = true;
    where.setAttribute("aria-invalid", "true");
  }

  return { sync, startLike, blame, focus: () => text.focus() };
}

function field(label, input) {
  return h("label", { class: `field ${input.id}` }, h("span", {}, label), input);
}

/** A filter that fits the graph. */
function example(about) {
  const column = (about.columns ?? []).find((one) => one.values?.length) ?? (about.columns ?? [])[0];
  if (!column) return 'within 2 of "id"';
  const name = quotedName(column.name);
  if (column.kind === "number") return `${name} >= 0`;
  return column.values?.length ? `${name} = "${column.values[0]}"` : `${name} contains "…"`;
}
