// Elements are made here and nowhere else. Data only ever becomes text or a checked attribute, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. `props`: `class`, `on` ({event: handler}), `data` (dataset), `props` (DOM properties), else attributes. */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An SVG element. */
export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, { on = {}, data = {}, props = {}, ...attributes }, children) {
  for (const [event, handler] of Object.entries(on)) element.addEventListener(event, handler);
  Object.assign(element.dataset, data);
  Object.assign(element, props);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const find = (selector, root = document) => root.querySelector(selector);

let timer;

/** Say something to screen readers. */
export function announce(text) {
  const live = document.getElementById("live");
  live.textContent = "";
  clearTimeout(timer);
  timer = setTimeout(() => (live.textContent = text), 60); // an empty region first, or equal texts are not read again
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export const number = (value) => Number(value).toLocaleString("en-GB");

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

/** Copy text, and tell it on the button. */
export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    announce("Copying is not allowed here");
    return;
  }
  button.classList.add("done");
  announce(`Copied ${text}`);
  setTimeout(() => button.classList.remove("done"), 1200);
}
