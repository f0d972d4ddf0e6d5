// The paper bar. In: props.value = {doing: {step, share}} while a paper is opened, {failed: true} when it could not be,
// {paper, title, source, figures: [{id, label, page, box, caption, text, thumb}], pages: [[width, height]], lost, pick} when it is there,
// {chosen} when the figure that was wanted last cannot be shown, null for none.
// Out: "ask_paper" {source} or {example: true}, "follow_link" {paper, figure, question}, "leave_paper", "pick_figure" {figure, choice}.
// Text of a paper only ever becomes textContent.

const find = (name) => element.querySelector("." + name);
const [form, source, doing, step, bar, opened, strip] =
  [find("ask-paper"), find("source"), find("doing"), find("step"), element.querySelector("progress"), find("opened"), find("strip")];
const [search, nothing, lost] = [find("search"), find("nothing"), find("lost")];
let paper = null, chosen = "", busy = false, told = "", failed = false;
document.choices ??= 0;
let picked = 0; // the choice that was made here last
let asked = 0, left = false; // the choice with which a paper was asked for; whether a model was asked since
source.maxLength = props.max_chars;

/* What the server sends */

function show() {
  const value = props.value;
  if (value && "chosen" in value) return mark(value.chosen); // what was wanted cannot be shown
  busy = Boolean(value?.doing);
  if (busy) {
    step.textContent = value.doing.step;
    if (value.doing.share == null) bar.removeAttribute("value");
    else bar.value = value.doing.share;
  } else if (!value) paper = null;
  else if (value.paper && value.paper !== paper?.paper) {
    paper = value;
    search.value = "";
    if (!value.paper.startsWith("arxiv:")) source.value = ""; // what stands there is another paper's
    drawPaper();
  }
  // The last choice counts: a paper that comes late leaves what was chosen, or asked about, meanwhile.
  if (value?.paper && value.pick && asked === document.choices && !left) pick(value.pick);
  refresh();
}

function refresh() {
  doing.hidden = !busy && !told;
  doing.classList.toggle("failed", !busy && failed);
  if (!busy) step.textContent = told;
  bar.hidden = !busy && (failed || !told);
  find("leave").textContent = busy ? "Cancel" : "Close";
  find("leave").hidden = !busy && !failed;
  find("open").disabled = find("example").disabled = busy;
  find("example").hidden = Boolean(paper);
  opened.hidden = !paper;
  document.body.classList.toggle("has-paper", Boolean(paper));
}

document.addEventListener("file-told", ({ detail }) => {
  told = detail.text;
  failed = detail.failed;
  if (told && !failed) bar.removeAttribute("value");
  refresh();
});

function ask(event, detail, choice = ++document.choices) {
  [asked, left] = [choice, false];
  clear();
  if (event) trigger(event, detail);
}

function clear() {
  if (!failed) return;
  [told, failed] = ["", false];
  refresh();
}

document.addEventListener("paper-asked", ({ detail }) => ask("", null, detail.choice));
document.addEventListener("paper-linked", ({ detail }) => {
  source.value = detail.source;
  ask("ask_paper", detail);
});
document.addEventListener("click", ({ target }) => {
  if (!target.closest?.("#explain, #ask, #examples, #chat button, #clear")) return;
  left = true;
  if (target.closest("#examples")) document.choices++;
  clear();
}, true);

/* The figures of a paper */

function make(tag, className, text = "") {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}

function drawPaper() {
  find("title").textContent = paper.title || paper.source;
  find("title").title = paper.title;
  find("of").textContent = paper.source;
  strip.replaceChildren(...paper.figures.map(thumbnail));
  find("pages").hidden = !paper.pages.some(([width]) => width);
  lost.hidden = !paper.lost.length;
  lost.open = false;
  const left = paper.lost.length === 1 ? "1 thing was" : `${paper.lost.length} things were`;
  lost.querySelector("summary").textContent = `${left} left out`;
  lost.querySelector("ul").replaceChildren(...paper.lost.map((line) => make("li", "", line)));
  filter();
}

function thumbnail(figure) {
  const button = make("button", "thumb");
  Object.assign(button, { type: "button", title: figure.caption, tabIndex: -1 });
  button.dataset.figure = figure.id;
  button.setAttribute("role", "option");
  const image = make("img", "");
  Object.assign(image, { src: figure.thumb, alt: "", draggable: false });
  const name = make("span", "name");
  name.append(make("strong", "", figure.label));
  if (figure.page) name.append(make("span", "page", `p. ${figure.page}`));
  button.setAttribute("aria-label", `${figure.label}${figure.page ? `, page ${figure.page}` : ""}${figure.caption ? `: ${figure.caption}` : ""}`);
  button.append(image, name);
  button.addEventListener("click", () => pick(figure.id));
  return button;
}

const thumbs = (all = false) => [...strip.children].filter((one) => all || !one.hidden);

function pick(id) {
  picked = ++document.choices;
  mark(id);
  clear();
  trigger("pick_figure", { figure: id, choice: picked });
}

function mark(id) {
  chosen = id;
  for (const one of thumbs(true)) {
    const mine = one.dataset.figure === id;
    one.setAttribute("aria-selected", mine);
    one.tabIndex = mine ? 0 : -1;
    if (mine) strip.scrollTo({ left: one.offsetLeft - (strip.clientWidth - one.clientWidth) / 2 });
  }
  if (!thumbs().some((one) => one.tabIndex === 0) && thumbs().length) thumbs()[0].tabIndex = 0;
}

/* Another figure is shown, whoever has chosen it */
document.addEventListener("figure-shown", ({ detail }) => {
  if (!(detail.choice < picked)) mark(detail.figure); // else what was picked after it comes yet
});

function go(by) {
  const all = thumbs(), at = all.findIndex((one) => one.dataset.figure === chosen);
  const next = all[at < 0 ? 0 : at + by];
  if (next) pick(next.dataset.figure);
  return next;
}

strip.addEventListener("keydown", (event) => {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!by && event.key !== "Home" && event.key !== "End") return;
  event.preventDefault();
  const all = thumbs(), at = all.indexOf(document.activeElement);
  const next = event.key === "Home" ? all[0] : event.key === "End" ? all.at(-1) : all[at + by];
  next?.focus();
});
document.addEventListener("keydown", (event) => {
  const by = { "]": 1, "[": -1 }[event.key];
  const writing = event.target.closest?.("input, textarea, select, [contenteditable=true]");
  // Many keyboards write brackets with AltGr, which comes as Ctrl and Alt.
  const other = (event.ctrlKey || event.metaKey || event.altKey) && !event.getModifierState("AltGraph");
  if (!by || !paper || writing || other || whole.open) return;
  go(by);
});

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const [place, one] of thumbs(true).entries())
    one.hidden = !words.every((word) => paper.figures[place].text.includes(word));
  nothing.hidden = thumbs().length > 0 || !paper.figures.length;
  mark(chosen);
}

/* All pages, with the figures marked */

const whole = find("whole"), sheets = find("sheets");

function drawPages() {
  whole.querySelector("strong").textContent = paper.title || paper.source;
  sheets.replaceChildren(...paper.pages.map(sheet).filter(Boolean));
  sheets.dataset.paper = paper.paper;
}

function sheet([width, height], place) {
  if (!width) return null;
  const node = make("div", "sheet"), image = make("img", "");
  const path = paper.paper.split("/").map(encodeURIComponent).join("/");
  Object.assign(image, { alt: `Page ${place + 1}`, loading: "lazy", width, height, src: `paper-page/${path}/${place + 1}` });
  node.append(image, ...paper.figures.filter((one) => one.page === place + 1 && one.box).map(boxOn));
  return node;
}

function boxOn(figure) {
  const button = make("button", "on-page"), [x0, y0, x1, y1] = figure.box;
  button.type = "button";
  button.setAttribute("aria-label", `Choose ${figure.label}`);
  button.append(make("span", "", figure.label));
  for (const [side, value] of Object.entries({ left: x0, top: y0, width: x1 - x0, height: y1 - y0 }))
    button.style[side] = `${100 * value}%`;
  button.dataset.figure = figure.id;
  button.addEventListener("click", () => {
    whole.close();
    pick(figure.id);
  });
  return button;
}

find("pages").addEventListener("click", () => {
  if (sheets.dataset.paper !== paper.paper) drawPages();
  for (const one of sheets.querySelectorAll(".on-page")) one.classList.toggle("chosen", one.dataset.figure === chosen);
  whole.showModal();
  sheets.querySelector(".on-page.chosen")?.scrollIntoView({ block: "center" });
});
find("close-whole").addEventListener("click", () => whole.close());
whole.addEventListener("click", (event) => {
  if (event.target === whole) whole.close(); // beside the pages
});

/* What the visitor does */

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!busy) ask("ask_paper", { source: source.value });
});
find("example").addEventListener("click", () => {
  if (!busy) ask("ask_paper", { example: true });
});
find("file").addEventListener("click", () => document.querySelector("#figure input[type=file]")?.click());
find("leave").addEventListener("click", () => {
  [told, failed] = ["", false];
  if (busy) trigger("leave_paper");
  refresh();
});
find("shut").addEventListener("click", () => {
  paper = null;
  props.value = null;
  refresh();
});
search.addEventListener("input", filter);

watch("value", show);
show();
const link = Object.fromEntries(new URLSearchParams(location.search));
if (link.paper || link.figure) ask("follow_link", link);
