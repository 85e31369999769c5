// Colours of groups and relations: far apart in hue, similar in lightness, one set for each theme.

const LIGHT = [
  "#1f5fbf",
  "#c2570c",
  "#14804a",
  "#9440b3",
  "#b3261e",
  "#0b7f8f",
  "#8a6a00",
  "#c43d84",
  "#5b63d6",
  "#5c8518",
  "#8b5a3c",
  "#4a6a85",
];
const DARK = [
  "#86b3ff",
  "#f2a65e",
  "#7fd6a2",
  "#d39bf0",
  "#f28b82",
  "#6fd3e0",
  "#d9c15a",
  "#f29ac2",
  "#a8b0ff",
  "#b3d46a",
  "#d1a68a",
  "#9cc3de",
];

const dark = matchMedia("(prefers-color-scheme: dark)");

export const palette = () => (dark.matches ? DARK : LIGHT);
export const rest = () => (dark.matches ? "#6b7482" : "#a3abb7");
export const PLACES = LIGHT.length;

/** Call when the theme changes. */
export const onTheme = (listener) => dark.addEventListener("change", listener);

/** Colour of the group at a rank by size; those beyond the palette share one. */
export const colourAt = (rank) => (rank >= 0 && rank < PLACES ? palette()[rank] : rest());

/** A colour of the style sheet. */
export const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** `#rrggbb` as numbers. */
export const rgb = (hex) => [1, 3, 5].map((start) => Number.parseInt(hex.slice(start, start + 2), 16));
