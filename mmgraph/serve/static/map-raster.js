// Draws points into the pixels of one canvas: at 100,000 points a few milliseconds, without a graphics card.

/** Alpha of a disc with a soft edge, `side * side` values of 0..256. */
function disc(radius) {
  const side = Math.max(1, Math.ceil(2 * radius + 1));
  const middle = (side - 1) / 2;
  const alpha = new Uint16Array(side * side);
  for (let y = 0; y < side; y += 1) {
    for (let x = 0; x < side; x += 1) {
      const inside = radius + 0.5 - Math.hypot(x - middle, y - middle);
      alpha[y * side + x] = Math.round(256 * Math.min(Math.max(inside, 0), 1));
    }
  }
  return { side, alpha };
}

/** Points are drawn in a mixed order, or the last group would cover all others. */
export function mixedOrder(count) {
  const order = new Uint32Array(count);
  let seed = 1;
  for (let i = 0; i < count; i += 1) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0; // the same picture every time
    const j = seed % (i + 1);
    order[i] = order[j];
    order[j] = i;
  }
  return order;
}

/** Radius in CSS pixels: what the space between points allows, growing slowly with the zoom. */
export function radiusFor(count, area, zoom) {
  const space = Math.sqrt(area / Math.max(count, 1));
  return Math.min(Math.max(0.3 * space, 0.8), 3.6) * Math.min(Math.max(zoom, 1) ** 0.4, 3);
}

export class Raster {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.image = null;
  }

  resize(width, height) {
    this.canvas.width = width;
    this.canvas.height = height;
    this.image = width && height ? this.context.createImageData(width, height) : null;
    this.words = this.image && new Uint32Array(this.image.data.buffer);
  }

  clear(colour) {
    this.context.fillStyle = colour;
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  /**
   * @param points `{ x, y, group, order }`, typed arrays
   * @param view `{ scale, left, top }` in device pixels: pixel = coordinate * scale + offset
   * @param colours one `[r, g, b]` per group
   * @param radius in device pixels
   * @param strength one value of 0..1 per group; 0 hides it
   * @param ground `[r, g, b]`
   */
  draw(points, view, { colours, radius, strength, ground }) {
    const { image, words } = this;
    if (!image) return;
    const { width, height, data } = image;
    words.fill((255 << 24) | (ground[2] << 16) | (ground[1] << 8) | ground[0]);
    const { side, alpha } = disc(radius);
    const half = (side - 1) / 2;
    const { x, y, group, order } = points;
    const red = Uint8Array.from(colours, (one) => one[0]);
    const green = Uint8Array.from(colours, (one) => one[1]);
    const blue = Uint8Array.from(colours, (one) => one[2]);
    const weight = Uint16Array.from(strength, (one) => Math.round(256 * one));
    for (let n = 0; n < order.length; n += 1) {
      const i = order[n];
      const g = group[i];
      const w = weight[g];
      if (w === 0) continue;
      const left = Math.round(x[i] * view.scale + view.left - half);
      const top = Math.round(y[i] * view.scale + view.top - half);
      if (left <= -side || top <= -side || left >= width || top >= height) continue;
      const r = red[g];
      const gr = green[g];
      const b = blue[g];
      const lastY = Math.min(side, height - top);
      const lastX = Math.min(side, width - left);
      for (let dy = top < 0 ? -top : 0; dy < lastY; dy += 1) {
        let at = ((top + dy) * width + left) * 4;
        const row = dy * side;
        for (let dx = left < 0 ? -left : 0; dx < lastX; dx += 1) {
          const a = (alpha[row + dx] * w) >> 8;
          if (a === 0) continue;
          const p = at + dx * 4;
          data[p] += ((r - data[p]) * a) >> 8;
          data[p + 1] += ((gr - data[p + 1]) * a) >> 8;
          data[p + 2] += ((b - data[p + 2]) * a) >> 8;
        }
      }
    }
    this.context.putImageData(image, 0, 0);
  }
}
