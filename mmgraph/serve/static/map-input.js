// Mouse, touch and keyboard on the map. One pointer moves (or draws a lasso), two pinch.

const REACH = 60; // pixels around the middle in which the keyboard finds a node
const TAP = 6; // a pointer that moves less than this is a click

export function listenTo(view, { onHover, onOpen, onLasso, onCentre }) {
  const canvas = view.marks;
  const pointers = new Map();
  let mode = "move";
  let moved = 0;
  let drawing = false;

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    if (pointers.size === 1) {
      moved = 0;
      drawing = mode === "lasso" || event.shiftKey;
      if (drawing) view.lasso = [place(event)];
    } else {
      drawing = false;
      view.lasso = null;
      moved = TAP; // a pinch is no click
    }
  });

  canvas.addEventListener("pointermove", (event) => {
    const at = place(event);
    if (!pointers.has(event.pointerId)) return onHover(view.at(...at), at);
    const before = pointers.get(event.pointerId);
    const [dx, dy] = [at[0] - before[0], at[1] - before[1]];
    moved += Math.hypot(dx, dy);
    if (drawing) {
      const [x, y] = view.lasso.at(-1);
      if (Math.hypot(at[0] - x, at[1] - y) > 4) view.lasso.push(at);
      pointers.set(event.pointerId, at);
      return view.redraw();
    }
    if (pointers.size === 2) {
      const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, where]) => where);
      const middle = [(at[0] + other[0]) / 2, (at[1] + other[1]) / 2];
      const factor = distance(at, other) / Math.max(distance(before, other), 1);
      view.zoomAt(factor, ...middle);
      view.pan(dx / 2, dy / 2);
    } else if (moved > TAP) {
      canvas.classList.add("held");
      onHover(-1);
      view.pan(dx, dy);
    }
    pointers.set(event.pointerId, at);
  });

  const release = (event, cancelled) => {
    if (!pointers.delete(event.pointerId)) return;
    canvas.classList.remove("held");
    const at = place(event);
    if (drawing && pointers.size === 0) {
      drawing = false;
      const polygon = view.lasso;
      view.lasso = null;
      view.redraw();
      if (!cancelled && polygon.length > 2) return onLasso(polygon.map(([x, y]) => view.toMap(x, y)));
    }
    if (cancelled || moved > TAP) return;
    const found = view.at(...at, event.pointerType === "mouse" ? 12 : 22);
    if (found >= 0) onOpen(found);
  };
  canvas.addEventListener("pointerup", (event) => release(event, false));
  canvas.addEventListener("pointercancel", (event) => release(event, true));
  canvas.addEventListener("pointerleave", () => onHover(-1));

  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 18 : event.deltaMode === 2 ? 400 : 1;
      view.zoomAt(
        Math.exp(-Math.min(Math.max(event.deltaY * lines, -240), 240) * (event.ctrlKey ? 0.008 : 0.0022)),
        ...place(event),
      );
      onHover(-1);
    },
    { passive: false },
  );
  canvas.addEventListener("dblclick", (event) => view.zoomAt(2, ...place(event)));

  const KEYS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 180 : 48;
    if (KEYS[event.key]) view.pan(KEYS[event.key][0] * step, KEYS[event.key][1] * step);
    else if (event.key === "+" || event.key === "=") view.zoomAt(1.5);
    else if (event.key === "-" || event.key === "_") view.zoomAt(1 / 1.5);
    else if (event.key === "0") view.fit();
    else if (event.key === "Enter") {
      const found = view.hover >= 0 ? view.hover : view.at(view.width / 2, view.height / 2, REACH); // what was named
      if (found >= 0) onOpen(found);
    } else if (event.key === "Escape") return onHover(-1);
    else return;
    event.preventDefault();
    if (event.key !== "Enter") onCentre(view.at(view.width / 2, view.height / 2, REACH));
  });
  canvas.addEventListener("focus", () => {
    view.cross = canvas.matches(":focus-visible");
    view.redraw();
    if (view.cross) onCentre(view.at(view.width / 2, view.height / 2, REACH));
  });
  canvas.addEventListener("blur", () => {
    view.cross = false;
    onHover(-1);
  });

  return {
    setMode(next) {
      mode = next;
      canvas.classList.toggle("lasso", next === "lasso");
    },
  };
}

const distance = ([a, b], [c, d]) => Math.hypot(a - c, b - d);
