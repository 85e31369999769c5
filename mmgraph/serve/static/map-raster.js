// Draws points into the pixels of one canvas: at 100,000 points a few milliseconds, without a graphics card.

/** A disc with a soft edge: offsets and weights (1..256) of the pixels that it covers. */
function disc(radius, width) {
  const reach = Math.ceil(radius);
  const across = [];
  const down = [];
  const alpha = [];
  for (let y = -reach; y <= reach; y += 1) {
    for (let x = -reach; x <= reach; x += 1) {
      const inside = Math.round(256 * Math.min(Math.max(radius + 0.5 - Math.hypot(x, y), 0), 1));
      if (inside === 0) continue;
      across.push(x);
      down.push(y);
      alpha.push(inside);
    }
  }
  const offset = Int32Array.from(across, (x, k) => down[k] * width + x);
  return { reach, across, down, alpha, offset, size: alpha.length };
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
    const { width, height } = image;
    words.fill(0xff000000 | (ground[2] << 16) | (ground[1] << 8) | ground[0]);
    const shape = disc(radius, width);
    const { reach, across, down, offset, size } = shape;
    const { keep, redBlue, green } = mixTables(shape, colours, strength);
    const { x, y, group, order } = points;
    for (let n = 0; n < order.length; n += 1) {
      const i = order[n];
      const first = group[i] * size;
      if (keep[first + (size >> 1)] === 256) continue; // hidden: nothing of the middle would change
      const px = Math.round(x[i] * view.scale + view.left);
      const py = Math.round(y[i] * view.scale + view.top);
      if (px < -reach || py < -reach || px >= width + reach || py >= height + reach) continue;
      const middle = py * width + px;
      const whole = px >= reach && py >= reach && px < width - reach && py < height - reach;
      for (let k = 0; k < size; k += 1) {
        if (!whole) {
          const ox = px + across[k];
          const oy = py + down[k];
          if (ox < 0 || oy < 0 || ox >= width || oy >= height) continue;
        }
        const p = middle + offset[k];
        const under = words[p];
        const t = first + k;
        const rb = ((Math.imul(under & 0xff00ff, keep[t]) + redBlue[t]) >>> 8) & 0xff00ff;
        const g = (Math.imul((under >>> 8) & 0xff, keep[t]) + green[t]) & 0xff00;
        words[p] = 0xff000000 | rb | g;
      }
    }
    this.context.putImageData(image, 0, 0);
  }
}

/** What each pixel of a disc keeps of the ground, and what each group adds, in 1/256: mixing is then two products. */
function mixTables({ size, alpha }, colours, strength) {
  const keep = new Int32Array(colours.length * size);
  const redBlue = new Int32Array(colours.length * size);
  const green = new Int32Array(colours.length * size);
  colours.forEach(([r, g, b], rank) => {
    for (let k = 0; k < size; k += 1) {
      const a = Math.round(alpha[k] * strength[rank]);
      keep[rank * size + k] = 256 - a;
      redBlue[rank * size + k] = Math.imul((b << 16) | r, a);
      green[rank * size + k] = g * a;
    }
  });
  return { keep, redBlue, green };
}
