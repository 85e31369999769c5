// The points of the map: coordinates in 0..1, groups by size, and a grid that finds the point under the pointer.
import { mixedOrder } from "./map-raster.js";

const NONE = "(none)";

export class Points {
  /** `answer` is what `/map` gives. */
  constructor({ ids, x, y, group, groups }) {
    const count = ids.length;
    this.ids = ids;
    this.count = count;
    this.index = new Map(ids.map((id, i) => [String(id), i]));
    this.place(x, y);
    this.rank(group, groups);
    this.order = mixedOrder(count);
    this.build();
  }

  place(x, y) {
    const [left, right] = range(x);
    const [top, bottom] = range(y);
    const size = Math.max(right - left, bottom - top) || 1; // one scale for both axes, or distances lie
    const moveX = (1 - (right - left) / size) / 2;
    const moveY = (1 - (bottom - top) / size) / 2;
    this.x = Float32Array.from(x, (value) => (value - left) / size + moveX);
    this.y = Float32Array.from(y, (value) => 1 - ((value - top) / size + moveY));
  }

  /** Groups from the largest to the smallest; nodes without one come last. */
  rank(group, groups) {
    const sizes = new Map();
    for (const one of group) sizes.set(one ?? -1, (sizes.get(one ?? -1) ?? 0) + 1);
    const none = (one) => one < 0 || groups[one] === NONE;
    const order = [...sizes.keys()].sort((a, b) => none(a) - none(b) || sizes.get(b) - sizes.get(a) || a - b);
    const rankOf = new Map(order.map((one, rank) => [one, rank]));
    this.groups = order.map((one) => ({
      name: one < 0 ? NONE : String(groups[one] ?? one),
      size: sizes.get(one),
      none: none(one),
    }));
    this.group = Uint16Array.from(group, (one) => rankOf.get(one ?? -1));
  }

  /** Counting sort into square cells of about two points. */
  build() {
    const { count, x, y } = this;
    const side = Math.min(Math.max(Math.round(Math.sqrt(count / 2)), 1), 512);
    const cellOf = (i) => Math.min((y[i] * side) | 0, side - 1) * side + Math.min((x[i] * side) | 0, side - 1);
    const start = new Uint32Array(side * side + 1);
    for (let i = 0; i < count; i += 1) start[cellOf(i) + 1] += 1;
    for (let c = 0; c < side * side; c += 1) start[c + 1] += start[c];
    const next = start.slice();
    const inCells = new Uint32Array(count);
    for (let i = 0; i < count; i += 1) inCells[next[cellOf(i)]++] = i;
    Object.assign(this, { side, start, inCells });
  }

  /** The nearest visible point within `reach` of a place, or -1. */
  nearest(px, py, reach, visible) {
    const { side, start, inCells, x, y, group } = this;
    const clamp = (value) => Math.min(Math.max(Math.floor(value * side), 0), side - 1);
    let best = -1;
    let least = reach * reach;
    for (let row = clamp(py - reach); row <= clamp(py + reach); row += 1) {
      const from = start[row * side + clamp(px - reach)];
      const to = start[row * side + clamp(px + reach) + 1];
      for (let n = from; n < to; n += 1) {
        const i = inCells[n];
        if (!visible[group[i]]) continue;
        const distance = (x[i] - px) ** 2 + (y[i] - py) ** 2;
        if (distance < least) [least, best] = [distance, i];
      }
    }
    return best;
  }

  /** Visible points inside a polygon `[[x, y], ...]`, by the even-odd rule. */
  inside(polygon, visible) {
    const xs = polygon.map(([px]) => px);
    const ys = polygon.map(([, py]) => py);
    const [left, right] = range(xs);
    const [top, bottom] = range(ys);
    const found = [];
    for (let i = 0; i < this.count; i += 1) {
      const px = this.x[i];
      const py = this.y[i];
      if (px < left || px > right || py < top || py > bottom || !visible[this.group[i]]) continue;
      let odd = false;
      for (let a = 0, b = xs.length - 1; a < xs.length; b = a, a += 1) {
        if (ys[a] > py !== ys[b] > py && px < ((xs[b] - xs[a]) * (py - ys[a])) / (ys[b] - ys[a]) + xs[a]) odd = !odd;
      }
      if (odd) found.push(i);
    }
    return found;
  }
}

/** Smallest and largest; not by spreading, which overflows the stack at 100,000 values. */
function range(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return values.length ? [low, high] : [0, 1];
}
