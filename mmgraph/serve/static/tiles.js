// Pictures of nodes: loaded when they come into view, with a quiet tile where there is none.
import { address, getBlob, hasKey } from "./api.js";
import { h, s } from "./dom.js";
import { nameOf } from "./nodes.js";

const seen = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      fromBlob(target);
    }
  },
  { rootMargin: "200px" },
);

/** The picture of a node, or two letters of its name. Pictures are decoration beside the text, so they have no alt text. */
export function tile(item, className = "tile") {
  if (!item.has_picture) return letters(item, className);
  const image = h("img", { alt: "", decoding: "async", draggable: "false" });
  const box = h("span", { class: className }, image);
  image.addEventListener("error", () => box.replaceWith(letters(item, className)));
  if (hasKey()) {
    image.dataset.id = String(item.id);
    seen.observe(image);
  } else {
    image.loading = "lazy"; // before src, or it is fetched at once
    image.src = address("picture", { id: item.id });
  }
  return box;
}

function letters(item, className) {
  const words = nameOf(item).match(/[\p{L}\p{N}]+/gu) ?? ["·"];
  return h("span", { class: `${className} letters`, "aria-hidden": "true" }, [...words[0]].slice(0, 2).join(""));
}

async function fromBlob(image) {
  try {
    const url = URL.createObjectURL(await getBlob("picture", { id: image.dataset.id }));
    image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
    image.src = url;
  } catch {
    image.dispatchEvent(new Event("error"));
  }
}

/** A picture inside a drawing; pages with a key draw without. */
export function svgPicture(item, { x, y, size, clip }) {
  if (!item.has_picture || hasKey()) return null;
  return s("image", {
    href: address("picture", { id: item.id }),
    x,
    y,
    width: size,
    height: size,
    "clip-path": `url(#${clip})`,
    preserveAspectRatio: "xMidYMid meet",
  });
}
