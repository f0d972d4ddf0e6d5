// Answers beside each other. In: props.value = {question, note, earlier: [{role, text}], verdict, columns: [{heading, text, note,
// error, seconds, tokens, pieces: [{text, only, number}]}]}. Text only ever becomes textContent. gradio hands in `element`,
// `props`, `watch`.

const contrast = element.querySelector(".contrast");
const part = (name) => contrast.querySelector("." + name);

function make(tag, className, textContent) {
  return Object.assign(document.createElement(tag), { className, textContent });
}

function show() {
  const value = props.value;
  contrast.hidden = !value || !value.columns;
  if (contrast.hidden) return part("columns").replaceChildren();
  part("earlier").replaceChildren(...value.earlier.map(({ role, text }) => make("p", role, text)));
  part("asked").textContent = value.question;
  part("how").textContent = value.note;
  part("columns").replaceChildren(...value.columns.map(column));
  part("columns").classList.toggle("one", value.columns.length === 1);
  part("verdict").textContent = value.verdict;
  part("key").hidden = !value.columns.some(({ pieces }) => pieces?.some(({ only, number }) => only || number));
}

function column(told) {
  const section = make("section", "column", "");
  section.setAttribute("aria-label", told.heading);
  section.setAttribute("aria-busy", String(told.seconds === null));
  section.append(make("h3", "", told.heading));
  if (told.note) section.append(make("p", "facts", told.note));
  const text = make("div", "text", "");
  if (told.pieces) text.append(...told.pieces.map(piece));
  else text.textContent = told.text || (told.seconds === null ? "Thinking …" : "");
  section.append(text, make("p", told.error ? "facts failed" : "facts", told.error || facts(told)));
  return section;
}

function piece({ text, only, number }) {
  if (!only && !number) return document.createTextNode(text);
  const mark = make("mark", [only && "only", number && "number"].filter(Boolean).join(" "), text);
  mark.title = number ? "only this answer names this number" : "only this answer says this";
  return mark;
}

function facts({ seconds, tokens }) {
  if (!seconds) return seconds === 0 ? "Stopped." : "";
  return (Number.isInteger(tokens) ? tokens + " tokens in " : "") + seconds.toFixed(1) + " s";
}

watch("value", show);
show();
