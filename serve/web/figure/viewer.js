// The figure with the text in it as boxes, and the same lines as a list to correct. In: props.value = {figure, image, width,
// height, reading, lines} and props.colours, props.max_chars, props.max_added. Out: an "edited" event to #edits with
// {figure, edits} as serve/web/figure/lines.py reads them. Text only ever becomes textContent or an input's value, never HTML.
// gradio runs this once, with viewer_regions.js, viewer_zoom.js and viewer_bar.js behind it, and hands in `element`, `props` and `watch`.

const find = (name) => element.querySelector("." + name);
const [viewer, stage, paper, pixels, layer, tip] = ["viewer", "stage", "paper", "pixels", "layer", "tip"].map(find);
const [details, list, roles, place, undo] = ["found", "list", "roles", "place", "undo"].map(find);
const roleNames = Object.keys(props.colours);
let figure = "", reading = false, lines = [], selected = null, placing = null;

function make(tag, className, values = {}) {
  return Object.assign(document.createElement(tag), { className, ...values });
}

/* What the server sends */

function show() {
  const view = props.value || {};
  viewer.hidden = !view.image;
  if (view.figure !== figure) {
    details.open = details.open && viewer.classList.contains("large");
    figure = view.figure || "";
    selectRegions(false);
    clearRegions();
    zoomTo(1);
  }
  reading = Boolean(view.reading);
  if (!view.image) {
    enlarge(false);
    pixels.removeAttribute("src");
  } else if (pixels.src !== view.image) {
    pixels.src = view.image;
    paper.style.setProperty("--ratio", view.width / view.height);
    paper.style.setProperty("--pixels", view.width);
  }
  lines = (view.lines || []).map((read, number) => ({ ...read, read, number, on: true }));
  build();
  send();
  pixels.alt = view.alt || "The figure";
  document.dispatchEvent(new CustomEvent("figure-shown", { detail: { figure, choice: view.choice } }));
}

function build() {
  selected = null;
  endPlacing();
  tip.hidden = true;
  layer.replaceChildren();
  list.replaceChildren();
  lines.forEach(draw);
  lines.find((line) => line.box_button)?.box_button.setAttribute("tabindex", "0");
  refresh();
}

/* One line: a box in the figure and a row in the list */

function draw(line) {
  line.row = row(line);
  list.append(line.row);
  drawBox(line);
  update(line);
}

function drawBox(line) {
  line.box_button?.remove();
  line.box_button = null;
  if (!line.box) return;
  const [x0, y0, x1, y1] = line.box;
  const button = make("button", "box", { type: "button", tabIndex: -1 });
  Object.assign(button.style, {
    left: 100 * x0 + "%", top: 100 * y0 + "%", width: 100 * (x1 - x0) + "%", height: 100 * (y1 - y0) + "%",
    // A small box inside a large one can still be pointed at.
    zIndex: 1000 - Math.round(1000 * Math.sqrt((x1 - x0) * (y1 - y0))),
  });
  button.setAttribute("aria-describedby", "viewer-tip");
  button.line = line;
  line.box_button = button;
  layer.append(button);
}

function row(line) {
  const item = make("li", "line");
  item.line = line;
  const on = make("input", "on", { type: "checkbox", title: "Give this line to the model" });
  const role = make("select", "role", { title: "Role" });
  role.append(...roleNames.map((name) => make("option", "", { value: name, textContent: name })));
  const text = make("input", "text", { type: "text", maxLength: props.max_chars, spellcheck: false });
  text.placeholder = "the text as it stands in the figure";
  item.append(on, make("span", "swatch"), text, role, make("span", "sure"));
  return item;
}

function update(line) {
  const percent = Math.round(100 * line.confidence) + " %";
  const colour = props.colours[line.role] || props.colours.other;
  for (const node of [line.row, line.box_button]) {
    if (!node) continue;
    node.style.setProperty("--role", colour);
    node.classList.toggle("off", !line.on);
    node.classList.toggle("selected", line === selected);
    node.classList.toggle("changed", isChanged(line));
    node.classList.toggle("unsure", line.confidence < props.unsure);
  }
  line.box_button?.setAttribute("aria-label", `${line.text}, ${line.role}, ${percent} sure${line.on ? "" : ", switched off"}`);
  const part = (name) => line.row.querySelector("." + name);
  part("on").checked = line.on;
  part("on").setAttribute("aria-label", `Give “${line.text}” to the model`);
  part("role").value = line.role;
  part("role").setAttribute("aria-label", `Role of “${line.text}”`);
  if (part("text").value !== line.text) part("text").value = line.text;
  part("text").setAttribute("aria-label", line.read ? `Text, read as “${line.read.text}”` : "Text of the line you added");
  part("sure").textContent = line.source === "visitor" ? "you" : percent;
  part("sure").title = origin(line);
}

function origin(line) {
  if (line.source === "visitor") return line.read ? `corrected by you; read as “${line.read.text}”` : "added by you";
  return line.source === "pdf" ? "text of the file itself" : `read by ${line.source || "an engine"}`;
}

/* What the visitor changes */

function change(line, values) {
  Object.assign(line, values);
  if (line.read) {
    const same = line.text.trim() === line.read.text && line.role === line.read.role;
    line.source = same ? line.read.source : "visitor";
    line.confidence = same ? line.read.confidence : 1;
  }
  update(line);
  refresh();
  send();
}

function isChanged(line) {
  return !line.read || !line.on || line.text.trim() !== line.read.text || line.role !== line.read.role;
}

function edit(line) {
  if (!line.read) return { line: null, text: line.text, role: line.role, box: line.box, on: line.on };
  const told = { line: line.number };
  if (line.text.trim() !== line.read.text) told.text = line.text;
  if (line.role !== line.read.role) told.role = line.role;
  if (!line.on) told.on = false;
  return told;
}

function send() {
  const detail = { figure, edits: lines.filter(isChanged).map(edit) };
  document.querySelector("#edits .store")?.dispatchEvent(new CustomEvent("edited", { detail }));
}

/* Pointing at a line, in the figure or in the list */

function light(line, lit) {
  line.box_button?.classList.toggle("lit", lit);
  line.row.classList.toggle("lit", lit);
  if (lit && line.box_button) explainBox(line);
  else if (!lit) tip.hidden = true;
}

function explainBox(line) {
  const sure = line.source === "visitor" ? "" : ` · ${Math.round(100 * line.confidence)} % sure`;
  const more = [line.panel && `panel ${line.panel}`, line.orientation && `turned ${line.orientation}°`, !line.on && "switched off"];
  tip.replaceChildren(
    make("strong", "", { textContent: line.text || "(no text)" }),
    make("span", "", { textContent: `${line.role}${sure}` }),
    make("span", "", { textContent: [origin(line), ...more].filter(Boolean).join(" · ") }),
  );
  tip.style.setProperty("--role", props.colours[line.role] || props.colours.other);
  tip.hidden = false;
  const box = line.box_button.getBoundingClientRect(), whole = stage.getBoundingClientRect();
  const left = box.left + box.width / 2 - tip.offsetWidth / 2 - whole.left;
  const above = box.top - whole.top - tip.offsetHeight - 6;
  tip.style.left = Math.max(4, Math.min(left, whole.width - tip.offsetWidth - 4)) + "px";
  tip.style.top = (above + whole.top > 4 ? above : box.bottom - whole.top + 6) + "px";
}

function select(line, focus = true) {
  const before = selected;
  selected = line;
  if (before) update(before);
  if (!line) return;
  update(line);
  details.open = true;
  const { top, height } = line.row.getBoundingClientRect(), seen = list.getBoundingClientRect();
  if (top < seen.top || top + height > seen.bottom) list.scrollTop += top - seen.top - seen.height / 2;
  if (focus) line.row.querySelector(".text").focus();
}

const lineAt = (event) => event.target.closest?.(".box, .line")?.line;

for (const [event, lit] of [["pointerover", true], ["pointerout", false], ["focusin", true], ["focusout", false]])
  for (const area of [layer, list])
    area.addEventListener(event, (at) => lineAt(at) && light(lineAt(at), lit));

layer.addEventListener("click", (event) => lineAt(event) && select(lineAt(event)));
layer.addEventListener("keydown", (event) => {
  const line = lineAt(event), drawn = lines.filter((other) => other.box_button), here = drawn.indexOf(line);
  if (!line) return;
  const next = { ArrowRight: here + 1, ArrowDown: here + 1, ArrowLeft: here - 1, ArrowUp: here - 1, Home: 0, End: drawn.length - 1 };
  if (event.key in next) {
    event.preventDefault();
    const to = drawn[Math.max(0, Math.min(next[event.key], drawn.length - 1))];
    line.box_button.tabIndex = -1;
    to.box_button.tabIndex = 0;
    to.box_button.focus();
  } else if (event.key === "Delete" || event.key === "Backspace") {
    event.preventDefault();
    change(line, { on: !line.on });
    explainBox(line);
  }
});

list.addEventListener("input", (event) => {
  const line = lineAt(event), { className, value, checked } = event.target;
  if (!line) return;
  if (className === "on") change(line, { on: checked });
  else change(line, className === "role" ? { role: value } : { text: value });
});
list.addEventListener("keydown", (event) => {
  const way = { Enter: 1, ArrowDown: 1, ArrowUp: -1 }[event.key], line = lineAt(event);
  if (!way || !line || event.target.className !== "text" || event.isComposing) return;
  event.preventDefault();
  const to = lines[lines.indexOf(line) + way];
  if (to) select(to);
});
list.addEventListener("focusin", (event) => lineAt(event) && select(lineAt(event), false));
