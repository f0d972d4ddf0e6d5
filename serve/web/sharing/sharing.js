// Export, link, votes and the log's switch. In: props.value = {figure, link, no_link, cite, log, said, voted} and props.reasons,
// props.terms, props.max_comment, props.max_corrected. Out: gradio events "select" {format} and "submit" {answer, vote, reasons,
// comment, corrected}, and an "edited" event to #consent. A vote on one answer arrives as a document event "answer-vote" with
// {id, answer, vote}: the answer's id, and its number from 0 for the reader; a vote is sent with the id. Which answers are shown now
// arrives as "answers-shown" with {ids}: a vote on another one is dropped. Text only ever becomes textContent or a field's value. gradio hands in `element`, `props`, `trigger`, `watch`.

const find = (name) => element.querySelector("." + name);
const [opener, items, link, said, address] = ["opener", "items", "link", "said", "address"].map(find);
const [logState, consent, keep, keepFigure, form] = ["log-state", "consent", "keep", "keep-figure", "feedback"].map(find);
let view = {}, pending = null, choice = remembered();

/* What the server sends */

function show() {
  const before = view.figure;
  view = props.value || {};
  const figure = Boolean(view.figure);
  opener.disabled = link.disabled = !figure;
  find("cite").hidden = !view.cite;
  logState.hidden = !view.log;
  // The thumbs stand at the answers (conversation.js).
  element.closest("#right").toggleAttribute("data-votes", Boolean(view.log));
  if (before !== view.figure) {
    form.hidden = address.hidden = true;
    tell("");
  }
  if (view.said) tell(view.said);
  if (view.voted) form.hidden = true;
}

function tell(text) {
  said.textContent = text;
  said.hidden = !text;
}

/* Export */

function openMenu(open) {
  items.hidden = !open;
  opener.setAttribute("aria-expanded", String(open));
  if (open) items.querySelector("button:not([hidden])").focus();
}

opener.addEventListener("click", () => openMenu(items.hidden));
items.addEventListener("click", (event) => {
  const format = event.target.dataset.format;
  if (!format) return;
  openMenu(false);
  opener.focus();
  trigger("select", { format });
});
find("menu").addEventListener("keydown", (event) => {
  const shown = [...items.querySelectorAll("button:not([hidden])")];
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (event.key === "Escape" && !items.hidden) {
    openMenu(false);
    opener.focus();
  } else if (step && !items.hidden) {
    event.preventDefault();
    const at = shown.indexOf(document.activeElement);
    shown[(at + step + shown.length) % shown.length].focus();
  }
});
document.addEventListener("click", (event) => {
  if (!items.hidden && !find("menu").contains(event.target)) openMenu(false);
});

/* Link */

link.addEventListener("click", async () => {
  address.hidden = true;
  if (!view.link) return tell(view.no_link);
  const question = document.querySelector("#question textarea")?.value.trim() || "";
  const asked = question ? "&question=" + encodeURIComponent(question.slice(0, props.max_question)) : "";
  const whole = location.origin + location.pathname + view.link + asked;
  try {
    await navigator.clipboard.writeText(whole);
    tell("Link copied" + (question ? ", with the question in the field below." : "."));
  } catch {
    // Without https a page may not write to the clipboard: the reader copies the address.
    const field = address.querySelector("input");
    address.hidden = false;
    field.value = whole;
    field.select();
    tell("");
  }
});

/* The log's switch */

function remembered() {
  try {
    const stored = JSON.parse(localStorage.getItem("llava-graph-log") || "{}");
    return { keep: stored.keep === true, figure: stored.keep === true && stored.figure === true };
  } catch {
    return { keep: false, figure: false };
  }
}

function showConsent() {
  keep.checked = choice.keep;
  keepFigure.checked = choice.figure;
  keepFigure.disabled = !choice.keep;
  logState.textContent = choice.figure ? "Log: on, with the figure" : choice.keep ? "Log: on" : "Log: off";
}

function openConsent(open) {
  consent.hidden = !open;
  logState.setAttribute("aria-expanded", String(open));
}

function agree() {
  choice = { keep: keep.checked, figure: keep.checked && keepFigure.checked };
  document.querySelector("#consent .store").dispatchEvent(new CustomEvent("edited", { detail: choice }));
  showConsent();
  if (choice.keep && pending) {
    const vote = pending;
    pending = null;
    openConsent(false);
    start(vote);
  }
}

logState.addEventListener("click", () => {
  // The switch is used for itself: a vote that waited for it is left.
  if (pending) leave();
  else openConsent(consent.hidden);
});
keep.addEventListener("change", agree);
keepFigure.addEventListener("change", agree);
addEventListener("storage", () => {
  choice = remembered();
  showConsent();
});

/* Votes */

function start(vote) {
  form.hidden = true;
  pending = null;
  if (!choice.keep) {
    pending = vote;
    openConsent(true);
    keep.focus();
    return tell("A vote is kept in this server's log. Agree first, or leave it.");
  }
  tell("");
  if (vote.vote === "upvote") return send({ ...vote, reasons: [], comment: "", corrected: "" });
  form.vote = vote;
  form.reset();
  form.querySelector("legend").textContent = "What is wrong with answer " + (vote.answer + 1) + "?";
  form.hidden = false;
  form.scrollIntoView({ block: "nearest" });
  form.querySelector("input").focus();
}

function send(vote) {
  trigger("submit", { answer: vote.id, vote: vote.vote, reasons: vote.reasons, comment: vote.comment, corrected: vote.corrected });
}

props.reasons.forEach(([name, words]) => {
  const label = document.createElement("label"), box = document.createElement("input");
  Object.assign(box, { type: "checkbox", value: name });
  label.append(box, " " + words);
  find("reasons").append(label);
});
find("comment").maxLength = props.max_comment;
find("corrected").maxLength = props.max_corrected;
find("terms").textContent = props.terms;
document.addEventListener("answer-vote", (event) => {
  const { id, answer, vote } = event.detail;
  if (view.log) start({ id, answer, vote });
});
/* What was begun for an answer goes with it. */
document.addEventListener("answers-shown", (event) => {
  const { ids } = event.detail;
  if (!form.hidden && !ids.includes(form.vote.id)) form.hidden = true;
  if (pending && !ids.includes(pending.id)) leave();
});

function leave() {
  pending = null;
  openConsent(false);
  tell("");
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const reasons = [...form.querySelectorAll(".reasons input:checked")].map((box) => box.value);
  send({ ...form.vote, reasons, comment: find("comment").value, corrected: find("corrected").value });
});
find("cancel").addEventListener("click", () => { form.hidden = true; });
element.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !form.hidden) form.hidden = true;
});

showConsent();
watch("value", show);
show();
