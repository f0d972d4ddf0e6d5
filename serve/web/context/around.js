// What surrounds the figure: switches for the parts of the prompt, and the paragraphs that cite the figure, each of which can be
// switched and edited. In: props.value = {figure, label, page, title, abstract, paragraphs: [{text, page, cites}], trained, fixed}.
// Out: a "chosen" event to #context-chosen with {figure, slots, paragraphs} as serve/web/context/shown.py reads them.
// Lit up by "llava:light" (conversation.js). Text of a paper only ever becomes textContent or a field's value.

const find = (name) => element.querySelector("." + name);
const [around, slotsAt, untrained, cited, list] = ["around", "slots", "untrained", "cited", "paragraphs"].map(find);
cited.open = innerWidth > 800; // on a phone the way to the answer is shorter without them
const NAMES = { caption: "Caption", ocr: "Text in the figure", title: "Paper's title", abstract: "Abstract" };
let view = null, switched = {}, paragraphs = [];

function make(tag, className, values = {}) {
  return Object.assign(document.createElement(tag), { className, ...values });
}

function show() {
  const value = props.value;
  around.hidden = !value;
  if (!value) {
    view = null;
    return;
  }
  const another = value.figure !== view?.figure;
  view = value;
  if (another) {
    switched = {};
    paragraphs = view.paragraphs.map((one, number) => ({ ...one, number, read: one.text, on: null }));
    draw();
  }
  refresh();
  if (another) send();
}

const trained = (name) => Boolean(view.trained[name]);
const isOn = (name) => switched[name] ?? trained(name);
const isGiven = (one) => one.on ?? trained("mentions");

/* Parts that are switched whole */

function offered() {
  if (view.fixed) return [];
  return ["caption", "ocr", ...["title", "abstract"].filter((name) => view[name])];
}

function drawSlots() {
  const buttons = offered().map((name) => {
    const button = make("button", "slot", { type: "button", textContent: NAMES[name] });
    if (name === "title" || name === "abstract") button.title = view[name];
    button.addEventListener("click", () => {
      switched[name] = !isOn(name);
      refresh();
      send();
    });
    button.dataset.slot = name;
    return button;
  });
  slotsAt.replaceChildren(slotsAt.firstElementChild, ...buttons);
  slotsAt.hidden = !buttons.length;
}

/* The paragraphs */

function draw() {
  drawSlots();
  cited.hidden = !paragraphs.length;
  list.replaceChildren(...paragraphs.map(drawParagraph));
}

function drawParagraph(one) {
  const item = make("li", "paragraph"), head = make("div", "paragraph-head"), label = make("label", "give");
  one.item = item;
  one.box = make("input", "", { type: "checkbox" });
  one.box.addEventListener("change", () => {
    one.on = one.box.checked;
    refresh();
    send();
  });
  label.append(one.box, make("span", "", { textContent: `Paragraph ${one.number + 1}` }));
  head.append(label);
  if (one.number === 0) head.append(make("span", "first", { textContent: "first mention" }));
  if (one.page) head.append(make("span", "on", { textContent: `p. ${one.page}` }));
  one.edit = make("button", "plain edit", { type: "button", textContent: "Edit" });
  one.edit.setAttribute("aria-label", `Edit paragraph ${one.number + 1}`);
  one.edit.addEventListener("click", () => edit(one));
  head.append(one.edit);
  one.body = make("div", "text");
  item.dataset.mention = one.number;
  item.append(head, one.body);
  drawText(one);
  return item;
}

/* Its words, the places that cite the figure marked, and those that bear a sentence out */
function drawText(one, spans = []) {
  const marks = one.text === one.read ? [...one.cites.map((at) => [...at, "cite"]), ...spans.map((at) => [...at, "bears"])] : [];
  const cuts = [...new Set([0, one.text.length, ...marks.flatMap(([start, end]) => [start, end])])].sort((a, b) => a - b);
  one.body.replaceChildren(
    ...cuts.slice(0, -1).map((start, place) => {
      const end = cuts[place + 1], kinds = marks.filter(([from, to]) => from <= start && end <= to).map((mark) => mark[2]);
      const text = one.text.slice(start, end);
      return kinds.length ? make("mark", kinds.join(" "), { textContent: text }) : document.createTextNode(text);
    }),
  );
}

function edit(one) {
  if (one.field) return;
  one.field = make("textarea", "field", { value: one.text, rows: 5, maxLength: props.max_chars });
  one.field.setAttribute("aria-label", `Paragraph ${one.number + 1}`);
  const done = make("button", "plain", { type: "button", textContent: "Done" });
  const undo = make("button", "plain", { type: "button", textContent: "As the paper has it" });
  const close = (text) => {
    one.text = text;
    if (text !== one.read) one.on = isGiven(one) || null;
    one.field.remove();
    foot.remove();
    one.field = null;
    one.body.hidden = false;
    drawText(one);
    refresh();
    send();
    one.edit.focus();
  };
  const foot = make("div", "edit-foot");
  foot.append(done, undo);
  done.addEventListener("click", () => close(one.field.value.trim() || one.read));
  undo.addEventListener("click", () => close(one.read));
  one.field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close(one.text);
  });
  one.body.hidden = true;
  one.item.append(one.field, foot);
  one.field.style.height = `${Math.min(one.field.scrollHeight + 4, 320)}px`;
  one.field.focus();
}

find("every").addEventListener("click", (event) => {
  event.preventDefault(); // it stands in the line that folds the paragraphs
  const on = !paragraphs.every(isGiven);
  for (const one of paragraphs) one.on = on;
  refresh();
  send();
});

/* What is on, and what that means */

function refresh() {
  for (const button of slotsAt.querySelectorAll(".slot")) button.setAttribute("aria-pressed", isOn(button.dataset.slot));
  const given = paragraphs.filter(isGiven).length, count = paragraphs.length;
  for (const one of paragraphs) {
    one.box.checked = isGiven(one);
    one.box.disabled = view.fixed;
    one.item.classList.toggle("given", isGiven(one));
    one.item.classList.toggle("edited", one.text !== one.read);
  }
  const cites = count === 1 ? "1 paragraph cites it" : `${count} paragraphs cite it`;
  find("cited-head").querySelector("h3").textContent = `${cites} · ${given ? `${given} given to the model` : "none given to the model"}`;
  find("every").textContent = count && given === count ? "Give none" : "Give all";
  find("every").hidden = view.fixed;
  const unusual = offered().filter((name) => isOn(name) && !trained(name)).map((name) => NAMES[name].toLowerCase());
  if (given && !trained("mentions")) unusual.push("paragraphs");
  untrained.hidden = !unusual.length;
  untrained.textContent = `This model was not trained with ${listed(unusual)}: it may copy from there, or explain less well.`;
}

function listed(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

function send() {
  const changed = paragraphs.some((one) => one.on !== null || one.text !== one.read);
  const detail = {
    figure: view.figure,
    slots: { ...switched },
    paragraphs: changed
      ? paragraphs.map((one) => ({ number: one.number, on: isGiven(one), text: one.text === one.read ? null : one.text }))
      : null,
  };
  document.querySelector("#context-chosen .store")?.dispatchEvent(new CustomEvent("chosen", { detail }));
}

document.addEventListener("llava:light", ({ detail }) => {
  for (const one of paragraphs) {
    const lit = detail.paragraphs?.includes(one.number), spans = (lit && detail.spans?.[one.number]) || [];
    if (lit || one.item.classList.contains("lit")) drawText(one, spans);
    one.item.classList.toggle("lit", Boolean(lit));
  }
  const first = detail.show && paragraphs.find((one) => detail.paragraphs?.includes(one.number));
  if (first) cited.open = true;
  first?.item.scrollIntoView({ block: "nearest", behavior: "smooth" });
});

watch("value", show);
show();
