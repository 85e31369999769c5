// A picture to search by: chosen, dropped or pasted. It never goes into the address, so it is kept here by a token.
import { announce, h } from "./dom.js";
import { icon } from "./icons.js";

const kept = new Map();
const visit = Date.now().toString(36); // a link of another visit must not name a picture of this one
let last = 0;

export const fileOf = (token) => kept.get(token);

function keep(file) {
  const token = `${visit}-${(last += 1)}`;
  kept.set(token, file);
  return token;
}

/** A button that chooses a file, and the preview of what was chosen; `onChange(token, problem)`. */
export function imageInput({ maxBytes, onChange }) {
  let token = "";
  let url = "";
  const file = h("input", {
    type: "file",
    accept: "image/png,image/jpeg,image/webp,image/gif",
    class: "unseen",
    id: "image",
    tabindex: "-1",
    "aria-label": "Picture to search by",
    on: { change: () => file.files[0] && take(file.files[0]) },
  });
  const button = h(
    "button",
    {
      type: "button",
      class: "quiet",
      id: "choose",
      title: "Choose, paste or drop a picture",
      "aria-label": "Choose a picture",
      on: { click: () => file.click() },
    },
    icon("picture"),
  );
  const preview = h("span", { class: "chip picture", hidden: true });

  function take(chosen) {
    if (!chosen.type.startsWith("image/"))
      return onChange(token, `Expected a picture, got ${chosen.name || "a file"}.`);
    if (maxBytes && chosen.size > maxBytes) {
      return onChange(token, `The picture has ${megabytes(chosen.size)}, the limit is ${megabytes(maxBytes)}.`);
    }
    show(keep(chosen));
    announce("Picture added");
    onChange(token, "");
  }

  function show(next) {
    if (next === token) return;
    token = next;
    file.value = "";
    if (url) URL.revokeObjectURL(url);
    url = "";
    const chosen = fileOf(token);
    preview.hidden = !token;
    if (!token) return preview.replaceChildren();
    if (chosen) url = URL.createObjectURL(chosen);
    preview.replaceChildren(
      ...(url ? [h("img", { src: url, alt: "" })] : []),
      h("span", {}, chosen ? chosen.name || "pasted picture" : "picture from another visit"),
      h(
        "button",
        { type: "button", class: "quiet", "aria-label": "Remove the picture", on: { click: remove } },
        icon("close"),
      ),
    );
  }

  function remove() {
    show("");
    button.focus();
    announce("Picture removed");
    onChange("", "");
  }

  return { button, file, preview, show, take, token: () => token };
}

/** Take pictures that are dropped or pasted anywhere on the page. */
export function catchPictures(take) {
  const body = document.body;
  const hasFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  let depth = 0;
  addEventListener("dragenter", (event) => hasFile(event) && (depth += 1) && body.classList.add("dropping"));
  addEventListener("dragleave", (event) => {
    if (hasFile(event) && (depth = Math.max(0, depth - 1)) === 0) body.classList.remove("dropping");
  });
  addEventListener("dragover", (event) => hasFile(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    depth = 0;
    body.classList.remove("dropping");
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => {
    const pasted = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (!pasted) return;
    event.preventDefault();
    take(pasted);
  });
}

const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MB`;
