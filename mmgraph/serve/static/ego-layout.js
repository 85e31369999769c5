// Places a node, its neighbours and theirs: on rings first, then pushed apart. No chance, no animation.

const STEPS = 220;

/** `nodes` `[{ id }]`, the first in the middle; `edges` `[{ source, target, relation }]`; gives a Map of id to `{ x, y, ring }` in 0..width, 0..height. */
export function layout(nodes, edges, { width, height, centre }) {
  const near = neighbours(nodes, edges);
  const ring = rings(nodes, near, centre);
  const angle = angles(nodes, edges, near, ring, centre);
  const last = Math.max(1, ...ring.values());
  // A few nodes stand near the middle, many take all the room.
  const spread = last > 1 ? 1 : Math.min(1, 0.42 + 0.05 * nodes.length);
  const [rx, ry] = [Math.min(width / 2 - 62, Math.max(spread * (width / 2 - 62), 170)), spread * (height / 2 - 44)];
  const at = nodes.map(({ id }) => {
    const part = ring.get(id) / last;
    return {
      id,
      ring: ring.get(id),
      part,
      x: width / 2 + rx * part * Math.cos(angle.get(id)),
      y: height / 2 + ry * part * Math.sin(angle.get(id)),
    };
  });
  relax(at, { width, height, apart: Math.min(70, 0.8 * Math.sqrt((width * height) / Math.max(nodes.length, 1))) });
  return new Map(at.map((one) => [one.id, one]));
}

function neighbours(nodes, edges) {
  const near = new Map(nodes.map(({ id }) => [id, []]));
  for (const { source, target } of edges) {
    near.get(source)?.push(target);
    near.get(target)?.push(source);
  }
  return near;
}

/** Hops from the centre; what hangs loose goes to the last ring. */
function rings(nodes, near, centre) {
  const ring = new Map([[centre, 0]]);
  let queue = [centre];
  while (queue.length) {
    const next = [];
    for (const id of queue) {
      for (const other of near.get(id) ?? []) {
        if (ring.has(other) || !near.has(other)) continue;
        ring.set(other, ring.get(id) + 1);
        next.push(other);
      }
    }
    queue = next;
  }
  const last = Math.max(1, ...ring.values());
  for (const { id } of nodes) if (!ring.has(id)) ring.set(id, last);
  return ring;
}

/** First ring by relation, so that a relation is a sector; each further node near the one it hangs on. */
function angles(nodes, edges, near, ring, centre) {
  const relation = new Map();
  for (const edge of edges) {
    if (edge.source === centre) relation.set(edge.target, relation.get(edge.target) ?? edge.relation);
    if (edge.target === centre) relation.set(edge.source, relation.get(edge.source) ?? edge.relation);
  }
  const angle = new Map([[centre, 0]]);
  const last = Math.max(1, ...ring.values());
  for (let r = 1; r <= last; r += 1) {
    const on = nodes.map(({ id }) => id).filter((id) => ring.get(id) === r);
    const wish = (id) => {
      if (r === 1) return relation.get(id) ?? "";
      const parents = near.get(id).filter((other) => ring.get(other) === r - 1);
      return parents.length ? angle.get(parents[0]) : 0;
    };
    const keyed = on.map((id) => [wish(id), id]).sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
    keyed.forEach(([, id], i) => angle.set(id, (2 * Math.PI * (i + 0.5)) / keyed.length - Math.PI / 2));
  }
  return angle;
}

/** Push apart what is too close; the centre stays, all stay inside. */
function relax(at, { width, height, apart }) {
  for (let step = 0; step < STEPS; step += 1) {
    const strength = 0.5 * (1 - step / STEPS);
    for (let i = 0; i < at.length; i += 1) {
      for (let j = 0; j < i; j += 1) {
        const [a, b] = [at[i], at[j]];
        const [dx, dy] = [a.x - b.x || 0.01 * (i - j), (a.y - b.y || 0.01) * 1.3]; // names need room below
        const distance = Math.hypot(dx, dy);
        const least = a.ring === 0 || b.ring === 0 ? apart * 1.25 : apart;
        if (distance >= least) continue;
        const push = (strength * (least - distance)) / distance;
        if (a.ring) [a.x, a.y] = [a.x + dx * push, a.y + dy * push];
        if (b.ring) [b.x, b.y] = [b.x - dx * push, b.y - dy * push];
      }
    }
    for (const one of at) {
      if (!one.ring) continue;
      one.x = Math.min(Math.max(one.x, 50), width - 50);
      one.y = Math.min(Math.max(one.y, 30), height - 42);
    }
  }
}
