// A closer look: the figure in the stage, larger, by buttons, Ctrl and the wheel, pinching, or + - 0; and the lines and
// regions that others point at ("llava:light" on the document). Shares the scope of viewer.js.

const [closest, CLOSER] = [8, 1.5];
let zoom = 1, pinch = null, pan = null;
const touches = new Map();

/* `at`: the point of the window that stays where it is. */
function zoomTo(wanted, at = null) {
  const before = paper.getBoundingClientRect(), seen = stage.getBoundingClientRect();
  const [x, y] = at || [seen.left + seen.width / 2, seen.top + seen.height / 2];
  const [share_x, share_y] = [(x - before.left) / before.width, (y - before.top) / before.height];
  const next = Math.max(1, Math.min(closest, wanted));
  // While it is zoomed the stage keeps the room that it had.
  if (zoom === 1 && next > 1) stage.style.height = viewer.classList.contains("large") ? "" : seen.height + "px";
  zoom = next < 1.02 ? 1 : next;
  if (zoom === 1) stage.style.height = "";
  stage.classList.toggle("zoomed", zoom > 1);
  paper.style.setProperty("--zoom", zoom);
  const after = paper.getBoundingClientRect();
  stage.scrollLeft += after.left + share_x * after.width - x;
  stage.scrollTop += after.top + share_y * after.height - y;
  tip.hidden = true;
  find("fit").textContent = Math.round(100 * zoom) + " %";
  find("fit").disabled = find("smaller").disabled = zoom === 1;
  find("closer").disabled = zoom === closest;
}

find("closer").addEventListener("click", () => zoomTo(zoom * CLOSER));
find("smaller").addEventListener("click", () => zoomTo(zoom / CLOSER));
find("fit").addEventListener("click", () => zoomTo(1));
stage.addEventListener("wheel", (event) => {
  if (!event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  zoomTo(zoom * Math.exp(-event.deltaY / 300), [event.clientX, event.clientY]);
}, { passive: false });
stage.addEventListener("keydown", (event) => {
  const wanted = { "+": zoom * CLOSER, "=": zoom * CLOSER, "-": zoom / CLOSER, 0: 1 }[event.key];
  if (!wanted || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  zoomTo(wanted);
});

/* Two fingers pinch, one pans (the browser scrolls); the mouse drags the white and the picture. */

const between = () => {
  const [a, b] = [...touches.values()];
  return { far: Math.hypot(a[0] - b[0], a[1] - b[1]), at: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2] };
};
stage.addEventListener("pointerdown", (event) => {
  if (event.pointerType === "touch") touches.set(event.pointerId, [event.clientX, event.clientY]);
  if (touches.size === 2) {
    if (grab) dropGrab();
    pinch = { far: between().far, zoom };
  }
  if (zoom > 1 && !selecting && !placing && event.pointerType === "mouse" && !event.button && !event.target.closest("button"))
    pan = { x: event.clientX + stage.scrollLeft, y: event.clientY + stage.scrollTop };
});
stage.addEventListener("pointermove", (event) => {
  if (touches.has(event.pointerId)) touches.set(event.pointerId, [event.clientX, event.clientY]);
  if (pinch && touches.size === 2) zoomTo(pinch.zoom * between().far / pinch.far, between().at);
  if (pan) stage.scrollTo(pan.x - event.clientX, pan.y - event.clientY);
});
for (const name of ["pointerup", "pointercancel", "pointerleave"])
  stage.addEventListener(name, (event) => {
    touches.delete(event.pointerId);
    if (touches.size < 2) pinch = null;
    pan = null;
  });

/* What a sentence of an answer rests on */

document.addEventListener("llava:light", (event) => {
  const { lines: numbers = [], regions: names = [], show = false } = event.detail || {};
  // Numbered as the model was given them: without those that are off or empty.
  const given = lines.filter((line) => line.on && line.text.trim());
  const wanted = new Set(numbers.map((number) => given[number]));
  for (const line of lines)
    for (const node of [line.row, line.box_button]) node?.classList.toggle("shown", wanted.has(line));
  for (const region of regions) region.node.classList.toggle("shown", names.includes(region.name));
  if (show) lines.find((line) => wanted.has(line) && line.box_button)?.box_button.scrollIntoView({ block: "nearest", inline: "nearest" });
});
