import { s } from "./dom.js";

// Paths on a 16 x 16 field, drawn as lines.
const PATHS = {
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.7 10.7 14 14",
  picture: "M2.5 3h11v10h-11zM2.5 11l3.2-3.4 2.6 2.6 1.7-1.7 3.5 3.5M10.6 6.2h.01",
  close: "M4 4l8 8M12 4l-8 8",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  similar: "M2.5 8c2-3.4 4-3.4 5.5 0s3.5 3.4 5.5 0",
  network:
    "M8 9.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3zM3 4.5a1.3 1.3 0 1 0 0-2.6 1.3 1.3 0 0 0 0 2.6zM13.5 5.5a1.3 1.3 0 1 0 0-2.6 1.3 1.3 0 0 0 0 2.6zM11.5 14a1.3 1.3 0 1 0 0-2.6 1.3 1.3 0 0 0 0 2.6zM4 4.2l2.9 2.7M12.3 5 9.3 7.2M8.9 9.2l1.8 2.5",
  but: "M2.5 5h7M2.5 8h5M2.5 11h4M10 11h4M12 9v4",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  check: "M3 8.5l3.2 3.2L13 4.8",
  basket: "M2 6.5h12l-1.3 7H3.3zM5 6.5 7 2.5M11 6.5 9 2.5",
  fit: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
  lasso:
    "M8 2.5c3.3 0 6 1.6 6 3.7s-2.7 3.7-6 3.7-6-1.6-6-3.7 2.7-3.7 6-3.7zM5 9.4c-1 .6-1.2 1.7-.4 2.4.9.8.5 1.8-.8 2.2",
  move: "M8 2v12M2 8h12M6.5 3.5 8 2l1.5 1.5M6.5 12.5 8 14l1.5-1.5M3.5 6.5 2 8l1.5 1.5M12.5 6.5 14 8l-1.5 1.5",
  pin: "M8 14s4.5-4.3 4.5-7.5a4.5 4.5 0 0 0-9 0C3.5 9.7 8 14 8 14zM8 8a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3z",
  list: "M5.5 4h8M5.5 8h8M5.5 12h8M2.5 4h.01M2.5 8h.01M2.5 12h.01",
};

/** A line icon, hidden from screen readers: the button that holds it has a name. */
export function icon(name) {
  return s(
    "svg",
    { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true", focusable: "false" },
    s("path", { d: PATHS[name] }),
  );
}
