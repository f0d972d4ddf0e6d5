// What stands around the figure and its lines: counts, roles, adding a line and its place, the bar. Shares the scope of viewer.js.

/* Counts, roles and buttons */

function refresh() {
  const off = lines.filter((line) => !line.on).length, changed = lines.filter(isChanged).length;
  const counted = lines.length === 1 ? "1 line of text" : `${lines.length} lines of text`;
  const told = [lines.length ? counted : "No text was found in this figure"];
  if (off) told.push(`${off} off`);
  if (changed > off) told.push(`${changed - off} changed`);
  find("count").textContent = reading ? "Reading the text …" : told.join(" · ");
  find("hint").textContent = lines.length ? "correct it" : "add some";
  find("none").hidden = lines.length > 0;
  viewer.classList.toggle("reading", reading);
  find("add").disabled = reading || lines.filter((line) => !line.read).length >= props.max_added;
  undo.disabled = !changed;
  find("all").disabled = !lines.length;
  find("all").textContent = lines.length && off === lines.length ? "Switch all on" : "Switch all off";
  roles.replaceChildren(...roleNames.filter((name) => lines.some((line) => line.role === name)).map(chip));
}

function chip(name) {
  const mine = lines.filter((line) => line.role === name), on = mine.some((line) => line.on);
  const button = make("button", "chip", { type: "button", textContent: `${name} ${mine.length}` });
  button.style.setProperty("--role", props.colours[name]);
  button.setAttribute("aria-pressed", on);
  button.addEventListener("click", () => {
    switchAll(mine, !on);
    [...roles.children].find((other) => other.textContent.startsWith(name + " "))?.focus();
  });
  for (const [event, lit] of [["pointerenter", true], ["pointerleave", false]])
    button.addEventListener(event, () => mine.forEach((line) => line.box_button?.classList.toggle("lit", lit)));
  return button;
}

function switchAll(some, on) {
  for (const line of some) {
    line.on = on;
    update(line);
  }
  refresh();
  send();
}

/* Adding a line, and saying where it stands */

function addLine() {
  endSelecting();
  const line = { text: "", role: "other", box: null, confidence: 1, source: "visitor", panel: "", orientation: 0, on: true };
  lines.push(line);
  draw(line);
  refresh();
  select(line);
  placing = line;
  place.hidden = false;
  stage.classList.add("placing");
}

function endPlacing() {
  placing = null;
  place.hidden = true;
  stage.classList.remove("placing");
}

let begun = null;
const pointAt = (event) => {
  const { left, top, width, height } = paper.getBoundingClientRect();
  const inside = (value) => Math.round(1e4 * Math.max(0, Math.min(1, value))) / 1e4;
  return [inside((event.clientX - left) / width), inside((event.clientY - top) / height)];
};
paper.addEventListener("pointerdown", (event) => {
  if (!placing) return;
  event.preventDefault();
  paper.setPointerCapture(event.pointerId);
  begun = pointAt(event);
});
paper.addEventListener("pointermove", (event) => {
  if (!placing || !begun) return;
  const [x, y] = pointAt(event);
  placing.box = [Math.min(x, begun[0]), Math.min(y, begun[1]), Math.max(x, begun[0]), Math.max(y, begun[1])];
  drawBox(placing);
  update(placing);
});
paper.addEventListener("pointerup", () => {
  if (!placing || !begun) return;
  begun = null;
  const line = placing;
  if (!line.box) return; // a click: no place yet
  endPlacing();
  change(line, {});
  select(line);
});

/* The bar */

function enlarge(on) {
  viewer.classList.toggle("large", on);
  find("large-toggle").setAttribute("aria-pressed", on);
  find("large-toggle").textContent = on ? "Smaller" : "Enlarge";
  if (on) details.open = true;
  zoomTo(1);
}

find("boxes").addEventListener("change", (event) => viewer.classList.toggle("bare", !event.target.checked));
find("large-toggle").addEventListener("click", () => enlarge(!viewer.classList.contains("large")));
find("replace").addEventListener("click", () => document.querySelector("#figure input[type=file]")?.click());
find("add").addEventListener("click", addLine);
find("all").addEventListener("click", () => switchAll(lines, !lines.some((line) => line.on)));
undo.addEventListener("click", () => {
  lines = lines.filter((line) => line.read).map(({ read, number }) => ({ ...read, read, number, on: true }));
  build();
  send();
  find("add").focus();
});
element.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (placing) endPlacing();
  else if (selecting) leaveSelecting();
  else if (viewer.classList.contains("large")) enlarge(false);
});

/* Another figure, dropped or pasted onto this one */

function take(files, event) {
  const input = document.querySelector("#figure input[type=file]");
  const images = [...(files || [])].filter((file) => file.type.startsWith("image/"));
  if (viewer.hidden || !images.length || !input) return;
  event.preventDefault();
  const chosen = new DataTransfer();
  chosen.items.add(images[0]);
  input.files = chosen.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

viewer.addEventListener("dragover", (event) => event.preventDefault());
viewer.addEventListener("drop", (event) => take(event.dataTransfer.files, event));
document.addEventListener("paste", (event) => take(event.clipboardData?.files, event));

watch("value", show);
show();
