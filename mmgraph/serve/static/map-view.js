// Canvas of the map: what is in view, how it is drawn, and the marks over it.
import { colourAt, PLACES, rgb, variable } from "./colours.js";
import { calm, h } from "./dom.js";
import { radiusFor, Raster } from "./map-raster.js";

const MOST_ZOOM = 400;
const SLOW = 14; // milliseconds of a frame, above which movement is drawn coarsely
const PAUSE = 160; // milliseconds without movement, after which it is drawn finely

export class MapView {
  constructor() {
    this.base = h("canvas", { class: "points", "aria-hidden": "true" });
    this.coarse = h("canvas", { class: "coarse", "aria-hidden": "true", hidden: true });
    this.marks = h("canvas", {
      class: "marks",
      id: "map-canvas",
      tabindex: "0",
      role: "application",
      "aria-label": "Map of all nodes",
      "aria-describedby": "map-keys",
    });
    this.label = h("div", { class: "hover", hidden: true });
    this.box = h("div", { class: "canvas" }, this.base, this.coarse, this.marks, this.label);
    this.raster = new Raster(this.base);
    this.quick = new Raster(this.coarse); // half as fine, while a slow machine moves
    this.cost = 0;
    this.painted = 0;
    this.pen = this.marks.getContext("2d");
    this.points = null;
    this.hits = [];
    this.focus = -1;
    this.hover = -1;
    this.chosen = [];
    this.shown = null; // ranks of the groups that are shown; null shows all
    this.lasso = null;
    this.cross = false;
    this.camera = { x: 0.5, y: 0.5, zoom: 1 };
    new ResizeObserver(() => this.resize()).observe(this.box);
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.box;
    this.ratio = Math.min(devicePixelRatio || 1, 2);
    this.width = width;
    this.height = height;
    for (const canvas of [this.base, this.coarse, this.marks]) {
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    this.raster.resize(Math.round(width * this.ratio), Math.round(height * this.ratio));
    this.quick.resize(Math.round((width * this.ratio) / 2), Math.round((height * this.ratio) / 2));
    this.marks.width = Math.round(width * this.ratio);
    this.marks.height = Math.round(height * this.ratio);
    this.paint(); // at once: a resized canvas is empty until then
  }

  /** CSS pixels per unit. */
  get scale() {
    return Math.max(Math.min(this.width, this.height) - 28, 40) * this.camera.zoom;
  }

  toScreen(x, y) {
    return [(x - this.camera.x) * this.scale + this.width / 2, (y - this.camera.y) * this.scale + this.height / 2];
  }

  toMap(px, py) {
    return [(px - this.width / 2) / this.scale + this.camera.x, (py - this.height / 2) / this.scale + this.camera.y];
  }

  visible() {
    return this.points.groups.map((_, rank) => !this.shown || this.shown.has(rank));
  }

  at(px, py, reach = 12) {
    if (!this.points) return -1;
    const [x, y] = this.toMap(px, py);
    return this.points.nearest(x, y, reach / this.scale, this.visible());
  }

  pan(dx, dy) {
    cancelAnimationFrame(this.flight);
    this.camera.x -= dx / this.scale;
    this.camera.y -= dy / this.scale;
    this.keepInside();
  }

  /** Zoom so that what lies under a pixel stays there. */
  zoomAt(factor, px = this.width / 2, py = this.height / 2) {
    cancelAnimationFrame(this.flight);
    const [x, y] = this.toMap(px, py);
    this.camera.zoom = Math.min(Math.max(this.camera.zoom * factor, 0.5), MOST_ZOOM);
    this.camera.x = x - (px - this.width / 2) / this.scale;
    this.camera.y = y - (py - this.height / 2) / this.scale;
    this.keepInside();
  }

  keepInside() {
    for (const axis of ["x", "y"]) this.camera[axis] = Math.min(Math.max(this.camera[axis], -0.1), 1.1);
    this.redraw();
  }

  fit() {
    this.fly({ x: 0.5, y: 0.5, zoom: 1 });
  }

  /** Bring a point to the middle. */
  flyTo(i, zoom = Math.max(this.camera.zoom, 6)) {
    this.fly({ x: this.points.x[i], y: this.points.y[i], zoom });
  }

  fly(to) {
    cancelAnimationFrame(this.flight);
    if (calm() || !this.width) {
      this.camera = { ...to };
      return this.redraw();
    }
    const from = { ...this.camera };
    const begin = performance.now();
    const step = (now) => {
      const t = Math.min(Math.max((now - begin) / 320, 0), 1);
      const eased = 1 - (1 - t) ** 3;
      this.camera = {
        x: from.x + (to.x - from.x) * eased,
        y: from.y + (to.y - from.y) * eased,
        zoom: from.zoom * (to.zoom / from.zoom) ** eased,
      };
      this.redraw();
      if (t < 1) this.flight = requestAnimationFrame(step);
    };
    this.flight = requestAnimationFrame(step);
  }

  /** Colour of a group; a small one that shares grey gets one of its own while it is chosen. */
  colour(rank) {
    if (this.points.groups[rank].none) return colourAt(-1);
    return colourAt(rank >= PLACES && this.shown?.has(rank) ? rank % PLACES : rank);
  }

  /** Draw the marks alone: under the pointer they change often, the points do not. */
  remark() {
    if (this.asked || this.marked) return;
    this.marked = true;
    requestAnimationFrame(() => {
      this.marked = false;
      if (this.points && this.width) this.paintMarks();
    });
  }

  redraw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.paint();
    });
  }

  paint() {
    if (!this.width || !this.height) return;
    if (!this.points) return this.raster.clear(variable("--field"));
    const now = performance.now();
    const moving = this.cost > SLOW && now - this.painted < PAUSE;
    this.painted = now;
    clearTimeout(this.later);
    if (moving) this.later = setTimeout(() => this.redraw(), PAUSE);
    this.coarse.hidden = !moving;
    this.paintPoints(moving ? this.quick : this.raster, moving ? this.ratio / 2 : this.ratio);
    if (!moving) this.cost = performance.now() - now;
    this.paintMarks();
  }

  paintPoints(raster, ratio) {
    const { points } = this;
    const scale = this.scale * ratio;
    const faint = this.hits.length || this.chosen.length ? 0.42 : 0.85;
    const { width, height } = raster.canvas;
    raster.draw(
      points,
      { scale, left: width / 2 - this.camera.x * scale, top: height / 2 - this.camera.y * scale },
      {
        colours: points.groups.map((_, rank) => rgb(this.colour(rank))),
        radius: radiusFor(points.count, this.width * this.height, this.camera.zoom) * ratio,
        strength: this.visible().map((on) => (on ? (this.shown ? 0.95 : faint) : 0.07)),
        ground: rgb(variable("--field")),
      },
    );
  }

  paintMarks() {
    const { pen, points } = this;
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    const ink = variable("--ink");
    const field = variable("--field");
    const accent = variable("--accent");
    const radius = Math.max(radiusFor(points.count, this.width * this.height, this.camera.zoom), 2);
    for (const i of this.chosen) this.dot(i, radius, this.colour(points.group[i]), null);
    this.hits.toReversed().forEach((i) => this.dot(i, radius + 2.5, ink, field));
    if (this.hits.length) this.numbers(radius, ink, field);
    if (this.focus >= 0) this.ring(this.focus, radius + 6, ink, field);
    if (this.hover >= 0) {
      this.dot(this.hover, radius + 1.5, this.colour(points.group[this.hover]), field);
      this.ring(this.hover, radius + 4, ink, field);
    }
    if (this.lasso?.length > 1) this.outline(accent);
    if (this.cross) this.crosshair(ink);
  }

  dot(i, radius, colour, edge) {
    const [x, y] = this.toScreen(this.points.x[i], this.points.y[i]);
    this.pen.beginPath();
    this.pen.arc(x, y, radius, 0, 2 * Math.PI);
    this.pen.fillStyle = colour;
    this.pen.fill();
    if (!edge) return;
    this.pen.lineWidth = 1.5;
    this.pen.strokeStyle = edge;
    this.pen.stroke();
  }

  ring(i, radius, colour, halo) {
    const [x, y] = this.toScreen(this.points.x[i], this.points.y[i]);
    for (const [width, stroke] of [
      [4, halo],
      [1.75, colour],
    ]) {
      this.pen.beginPath();
      this.pen.arc(x, y, radius, 0, 2 * Math.PI);
      this.pen.lineWidth = width;
      this.pen.strokeStyle = stroke;
      this.pen.stroke();
    }
  }

  /** Places of the first results, where there is room. */
  numbers(radius, ink, field) {
    const { pen } = this;
    pen.font = "600 11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    const taken = [];
    this.hits.slice(0, 20).forEach((i, place) => {
      const [x, y] = this.toScreen(this.points.x[i], this.points.y[i]);
      const at = x + radius + 5;
      if (taken.some(([a, b]) => Math.abs(a - at) < 15 && Math.abs(b - y) < 12)) return;
      taken.push([at, y]);
      pen.lineWidth = 3;
      pen.strokeStyle = field;
      pen.strokeText(String(place + 1), at, y);
      pen.fillStyle = ink;
      pen.fillText(String(place + 1), at, y);
    });
  }

  outline(colour) {
    const { pen } = this;
    pen.beginPath();
    for (const [x, y] of this.lasso) pen.lineTo(x, y);
    pen.closePath();
    pen.globalAlpha = 0.12;
    pen.fillStyle = colour;
    pen.fill();
    pen.globalAlpha = 1;
    pen.lineWidth = 1.5;
    pen.strokeStyle = colour;
    pen.setLineDash([5, 4]);
    pen.stroke();
    pen.setLineDash([]);
  }

  crosshair(colour) {
    const { pen, width, height } = this;
    pen.beginPath();
    for (const [dx, dy] of [
      [1, 0],
      [0, 1],
      [-1, 0],
      [0, -1],
    ]) {
      pen.moveTo(width / 2 + 5 * dx, height / 2 + 5 * dy);
      pen.lineTo(width / 2 + 13 * dx, height / 2 + 13 * dy);
    }
    pen.lineWidth = 1.5;
    pen.strokeStyle = colour;
    pen.stroke();
  }
}
