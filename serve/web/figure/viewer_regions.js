// Regions of the figure to ask about: drawn, moved and resized by mouse, touch and keyboard. Out: a "told" event to #regions
// with {figure, regions: [{name, box}]} of those that are asked about, and "llava:regions" on the document with their names.
// Shares the scope of viewer.js.

const [regionLayer, asking, asked, selectToggle] = ["regions", "asking", "asked", "select-toggle"].map(find);
const [STEP, LEAST, LEAST_PX] = [0.01, 0.01, 8];
let regions = [], selecting = false, grab = null, telling = 0, lastTold = "[]";

/* One region: a box in the figure, and a chip below it */

function addRegion(box) {
  const name = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"].find((letter) => !regions.some((other) => other.name === letter));
  const region = { name, box, on: true, node: make("button", "region", { type: "button" }) };
  region.node.region = region;
  region.node.append(make("span", "tag", { textContent: name }));
  for (const [x, y] of [[0, 1], [2, 1], [0, 3], [2, 3]])
    region.node.append(Object.assign(make("span", `handle x${x} y${y}`), { sides: [x, y] }));
  regions.push(region);
  regionLayer.append(region.node);
  drawRegion(region);
  return region;
}

function drawRegion(region) {
  const [x0, y0, x1, y1] = region.box, percent = (value) => Math.round(100 * value);
  Object.assign(region.node.style, {
    left: 100 * x0 + "%", top: 100 * y0 + "%", width: 100 * (x1 - x0) + "%", height: 100 * (y1 - y0) + "%",
  });
  region.node.classList.toggle("not-asked", !region.on);
  const size = `${percent(x1 - x0)} by ${percent(y1 - y0)} per cent of the figure, ${percent(x0)} from the left, ${percent(y0)} from the top`;
  region.node.setAttribute("aria-label", `Region ${region.name}, ${size}${region.on ? "" : ", not asked about"}`);
}

function removeRegion(region) {
  region.node.remove();
  regions = regions.filter((other) => other !== region);
  (regions.at(-1)?.node || selectToggle).focus({ preventScroll: true });
  listRegions();
}

function clearRegions() {
  regions.forEach((region) => region.node.remove());
  regions = [];
  listRegions();
}

function listRegions(after = 0) {
  const some = regions.filter((region) => region.on);
  asking.hidden = !regions.length;
  asked.replaceChildren(...regions.flatMap(regionChip));
  find("ask-region").textContent = some.length > 1 ? "Ask about them" : "Ask about it";
  find("ask-region").disabled = !some.length;
  selectToggle.disabled = !selecting && regions.length >= props.max_regions;
  clearTimeout(telling);
  telling = setTimeout(() => tell(some), after);
}

function regionChip(region) {
  const chip = make("button", "region-chip", { type: "button", textContent: region.name });
  chip.setAttribute("aria-pressed", region.on);
  chip.setAttribute("aria-label", `Ask about region ${region.name}`);
  chip.addEventListener("click", () => {
    region.on = !region.on;
    drawRegion(region);
    listRegions();
    [...asked.children].find((other) => other.textContent === region.name)?.focus();
  });
  const off = make("button", "region-off", { type: "button", textContent: "×", title: `Remove region ${region.name}` });
  off.setAttribute("aria-label", `Remove region ${region.name}`);
  off.addEventListener("click", () => removeRegion(region));
  return [chip, off];
}

function tell(some) {
  const names = some.map((region) => region.name), told = some.map(({ name, box }) => ({ name, box }));
  const said = JSON.stringify(told);
  if (said === lastTold) return;
  lastTold = said;
  document.querySelector("#regions .store")?.dispatchEvent(new CustomEvent("told", { detail: { figure, regions: told } }));
  document.dispatchEvent(new CustomEvent("llava:regions", { detail: { names } }));
  find("region-told").textContent = names.length ? `The next question is about ${names.join(", ")}.` : "";
}

function askAbout(region) {
  if (region && !region.on) {
    region.on = true;
    drawRegion(region);
    listRegions();
  }
  endSelecting();
  enlarge(false);
  const field = document.querySelector("#question textarea");
  field?.focus({ preventScroll: true });
  // Not smoothly: a note appears above the field, and ends a scrolling that is on its way.
  const { top = 0, bottom = 0 } = field?.getBoundingClientRect() || {};
  if (top < 0 || bottom > innerHeight - 40) field?.scrollIntoView({ block: "center" });
}

/* Sizes: nothing smaller than can be seen, nothing outside */

const least = () => {
  const { width = 1, height = 1 } = props.value || {};
  return [Math.min(1, Math.max(LEAST, LEAST_PX / width)), Math.min(1, Math.max(LEAST, LEAST_PX / height))];
};
const inFigure = (value) => Math.round(1e4 * Math.max(0, Math.min(1, value))) / 1e4;

function moved([x0, y0, x1, y1], dx, dy) {
  dx = Math.max(-x0, Math.min(1 - x1, dx));
  dy = Math.max(-y0, Math.min(1 - y1, dy));
  return [x0 + dx, y0 + dy, x1 + dx, y1 + dy].map(inFigure);
}

function stretched(box, sides, dx, dy) {
  const next = [...box], [wide, high] = least();
  for (const [side, by, room] of [[sides[0], dx, wide], [sides[1], dy, high]]) {
    const other = next[(side + 2) % 4], value = inFigure(box[side] + by);
    next[side] = inFigure(side < 2 ? Math.min(value, other - room) : Math.max(value, other + room));
  }
  return next;
}

/* Mouse, pen and touch */

function selectRegions(on) {
  selecting = on;
  if (on && placing) endPlacing();
  stage.classList.toggle("selecting", on);
  selectToggle.setAttribute("aria-pressed", on);
  find("select-hint").hidden = !on;
  tip.hidden = true;
}

function endSelecting() {
  if (grab) dropGrab();
  selectRegions(false);
  listRegions();
}

function leaveSelecting() {
  endSelecting();
  selectToggle.focus();
}

function dropGrab() {
  if (grab.drawn) removeRegion(grab.region);
  else if (grab.region) Object.assign(grab.region, { box: grab.box }), drawRegion(grab.region);
  grab = null;
}

paper.addEventListener("pointerdown", (event) => {
  const tag = event.target.closest(".tag");
  if (tag && !selecting) selectRegions(true);
  if (!selecting || placing || event.button || !event.isPrimary) return;
  event.preventDefault();
  paper.setPointerCapture(event.pointerId);
  const region = event.target.closest(".region")?.region;
  region?.node.focus({ preventScroll: true });
  grab = { region, box: region?.box, from: pointAt(event), at: [event.clientX, event.clientY], sides: event.target.sides };
});
paper.addEventListener("pointermove", (event) => {
  if (!grab || !event.isPrimary) return;
  const [x, y] = pointAt(event), [dx, dy] = [x - grab.from[0], y - grab.from[1]];
  if (!grab.region) {
    const far = Math.hypot(event.clientX - grab.at[0], event.clientY - grab.at[1]);
    if (far < 4 || regions.length >= props.max_regions) return;
    Object.assign(grab, { region: addRegion([...grab.from, ...grab.from]), drawn: true });
  }
  if (grab.drawn) {
    const [fx, fy] = grab.from;
    grab.region.box = [Math.min(x, fx), Math.min(y, fy), Math.max(x, fx), Math.max(y, fy)];
  } else grab.region.box = grab.sides ? stretched(grab.box, grab.sides, dx, dy) : moved(grab.box, dx, dy);
  drawRegion(grab.region);
});
paper.addEventListener("pointerup", (event) => {
  if (!grab || !event.isPrimary) return;
  const { region, drawn } = grab, [wide, high] = least();
  grab = null;
  if (!region) return;
  const [x0, y0, x1, y1] = region.box;
  if (drawn && (x1 - x0 < wide || y1 - y0 < high)) return removeRegion(region);
  region.node.focus({ preventScroll: true });
  listRegions();
});
paper.addEventListener("pointercancel", () => grab && dropGrab());

/* Keyboard */

regionLayer.addEventListener("keydown", (event) => {
  const region = event.target.region;
  const way = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
  if (!region) return;
  if (way) {
    event.preventDefault();
    region.box = event.shiftKey ? stretched(region.box, [2, 3], ...way) : moved(region.box, ...way);
    drawRegion(region);
    listRegions(250);
  } else if (event.key === "Delete" || event.key === "Backspace") {
    event.preventDefault();
    removeRegion(region);
  }
});
// Enter and Space arrive as a click without a pointer.
regionLayer.addEventListener("click", (event) => event.detail === 0 && event.target.region && askAbout(event.target.region));
selectToggle.addEventListener("click", (event) => {
  if (selecting) return endSelecting();
  selectRegions(true);
  if (event.detail !== 0) return;
  const region = regions.length < props.max_regions ? addRegion([0.3, 0.3, 0.7, 0.7]) : regions.at(-1);
  region.node.focus({ preventScroll: true });
  listRegions();
});
find("ask-region").addEventListener("click", () => askAbout());
find("no-regions").addEventListener("click", () => {
  clearRegions();
  selectToggle.focus();
});
