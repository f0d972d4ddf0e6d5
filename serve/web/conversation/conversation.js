// The conversation: questions, answers as they grow, and what bears out each sentence. In: props.value as
// serve/web/conversation/view.py makes it, and props.process: the one that the page was loaded from. Out: gradio events "ask_suggested" {ask}, "ask_again", "check_claims",
// "choose_version" {answer, version}, "forget_talk", "ask_too_early", and "llava:light" on the document with {lines, caption, paragraphs, regions,
// spans, show}.
// Text only ever becomes textContent. gradio hands in `element`, `props`, `trigger` and `watch`.

const find = (name) => element.querySelector("." + name);
const [talk, log, turnsAt, empty, note, suggestions, announced] =
  ["talk", "log", "turns", "empty", "note", "suggestions", "announced"].map(find);
const NEAR_PX = 48;
let view = { turns: [] }, drawn = [], writing = false;

function make(tag, className = "", values = {}) {
  return Object.assign(document.createElement(tag), { className, ...values });
}

/* What the server sends */

function show() {
  const next = props.value || { turns: [] };
  // The session went with its process: what that says now is of an empty page. What stands here can be read and copied on.
  if (next.process && next.process !== props.process) find("restarted").hidden = false;
  if (!find("restarted").hidden || (next.refresh && !isOf(next, view))) return;
  // A question was typed for the figure that stood here then.
  if (view.figure && next.figure && view.figure !== next.figure) emptyField();
  view = next;
  nameGroups();
  const stick = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_PX;
  const turns = view.turns || [];
  const before = drawn.length;
  // A retry and another version have the same question: they are drawn in the place of the answer before.
  const kept = turns.findIndex((turn, at) => !drawn[at] || (drawn[at].id !== turn.id && drawn[at].question !== turn.question));
  while (drawn.length > (kept < 0 ? turns.length : kept)) drawn.pop().node.remove();
  turns.forEach((turn, at) => {
    drawn[at] ??= begin();
    update(drawn[at], turn, at === turns.length - 1);
  });
  empty.hidden = turns.length > 0;
  note.hidden = !view.note;
  note.textContent = view.note || "";
  find("forget").disabled = !turns.length;
  suggest();
  // A reader who has scrolled up is left alone; a new question is gone to.
  if (turns.length && (stick || turns.length > before)) log.scrollTop = log.scrollHeight;
  announce(turns);
  document.dispatchEvent(new CustomEvent("answers-shown", { detail: { ids: turns.map((turn) => turn.id) } }));
}

function emptyField() {
  const field = document.querySelector("#question textarea");
  if (!field?.value) return;
  field.value = "";
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

/* Level and length are groups with a name, and one tab stop each. */
function nameGroups() {
  for (const [id, label] of [["level", "Explain for"], ["answer-length", "Length"]]) {
    const group = document.querySelector(`#${id} input`)?.closest(".wrap");
    if (!group) continue;
    group.setAttribute("role", "radiogroup");
    group.setAttribute("aria-label", label);
    const stop = () => group.querySelectorAll("input").forEach((input) => { input.tabIndex = input.checked ? 0 : -1; });
    stop();
    // The one that was chosen before is unchecked after the event.
    Object.assign(group, { onkeydown: walk, onchange: () => setTimeout(stop) });
  }
}
setTimeout(nameGroups);

/* The arrows choose, as in any group of this kind; gradio's own inputs are no group to a browser. */
function walk(event) {
  const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const all = [...event.currentTarget.querySelectorAll("input:not(:disabled)")], at = all.indexOf(event.target);
  if (!way || at < 0) return;
  event.preventDefault();
  const next = all[(at + way + all.length) % all.length];
  next.focus();
  next.click();
}

/* Evidence that was looked for anew is of the answers that stand here; it may come late, when others do. */
function isOf(next, shown) {
  const same = (turn, at) => turn.id === shown.turns[at].id && turn.text === shown.turns[at].text;
  return !shown.busy && next.turns.length === (shown.turns || []).length && next.turns.every(same);
}

/* Of a growing answer a screen reader hears that it grows and that it is there, not every word. */
function announce(turns) {
  const last = turns[turns.length - 1], now = Boolean(last?.writing);
  if (now && !writing) announced.textContent = "The model is writing.";
  if (!now && writing && last) {
    const unfound = last.answer.sentences.filter((sentence) => sentence.verdict === "not found").length;
    const doubts = last.answer.marks.length;
    const told = [unfound && `${unfound} of its sentences not found in the text given`, doubts && `${doubts} marked words or numbers`];
    announced.textContent = ["The answer is there", ...told.filter(Boolean)].join(", ") + ".";
  }
  writing = now;
}

/* One question and its answer */

function begin() {
  const node = make("article", "turn");
  const asked = make("p", "asked"), answer = make("div", "answer"), tools = make("div", "tools");
  node.append(asked, answer, tools);
  turnsAt.append(node);
  return { node, asked, answer, tools, groups: [] };
}

function update(place, turn, isLast) {
  Object.assign(place, { id: turn.id, question: turn.question });
  if (place.asked.textContent !== turn.question) place.asked.textContent = turn.question;
  place.turn = turn;
  const at = view.turns.indexOf(turn);
  place.node.classList.toggle("writing", turn.writing);
  place.answer.setAttribute("aria-busy", turn.writing);
  drawBlocks(place, turn.answer);
  const key = JSON.stringify([turn.writing, isLast, view.busy, turn.version, turn.versions, Boolean(turn.text)]);
  if (place.toolsKey !== key) drawTools(place, at, isLast);
  place.toolsKey = key;
  const first = place.answer.querySelector("button.source");
  if (first && !place.answer.querySelector("button.source[tabindex='0']")) first.tabIndex = 0;
}

function drawTools(place, at, isLast) {
  const turn = place.turn, quiet = !turn.writing && !view.busy;
  place.tools.replaceChildren();
  if (turn.versions > 1) {
    const step = (way, label, sign) => {
      const button = make("button", "talk-button step", { type: "button", textContent: sign, ariaLabel: label });
      button.disabled = !quiet || !(turn.version + way in Array.from({ length: turn.versions }));
      button.addEventListener("click", () => trigger("choose_version", { answer: at, version: place.turn.version + way }));
      return button;
    };
    const count = make("span", "count", { textContent: `${turn.version + 1}/${turn.versions}` });
    count.setAttribute("aria-label", `Answer ${turn.version + 1} of ${turn.versions}`);
    place.tools.append(step(-1, "Earlier answer", "‹"), count, step(1, "Later answer", "›"));
  }
  if (turn.writing || !turn.text) return;
  const copy = make("button", "talk-button copy", { type: "button", textContent: "Copy" });
  copy.addEventListener("click", () => copyText(copy, place.turn.text));
  place.tools.append(copy);
  place.tools.append(thumb("upvote", "Good answer", place, at), thumb("downvote", "Bad answer", place, at));
  if (isLast && quiet) {
    const retry = make("button", "talk-button retry", { type: "button", textContent: "Retry", title: "Ask the same again; this answer stays" });
    retry.addEventListener("click", () => trigger("ask_again", {}));
    place.tools.append(retry);
  }
}

/* Votes are sharing.js's: it shows these two where the server keeps a log. */
function thumb(vote, label, place, answer) {
  const button = make("button", "talk-button thumb " + vote, { type: "button", title: label, ariaLabel: label });
  button.addEventListener("click", () => document.dispatchEvent(new CustomEvent("answer-vote", { detail: { id: place.turn.id, answer, vote } })));
  return button;
}

async function copyText(button, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https a page may not write to the clipboard; a field may be copied from.
    const field = make("textarea", "", { value: text });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

/* Suggested questions */

function suggest() {
  const asked = view.suggestions || [], follows = !document.querySelector("#level input")?.disabled;
  const claims = follows ? view.claims || 0 : 0;
  const key = JSON.stringify([asked, claims]);
  suggestions.hidden = !asked.length && !claims;
  if (suggestions.dataset.key === key) return;
  suggestions.dataset.key = key;
  const chip = (textContent, ask) => {
    const button = make("button", "suggestion", { type: "button", textContent });
    button.addEventListener("click", () => {
      suggestions.hidden = true;
      ask();
      log.focus({ preventScroll: true });
    });
    return button;
  };
  suggestions.replaceChildren(...asked.map((text) => chip(text, () => trigger("ask_suggested", { ask: text }))));
  if (!claims) return;
  const check = chip(`Check the paper’s claims (${claims})`, () => trigger("check_claims", {}));
  check.classList.add("check");
  check.title = "Shows the model the figure without caption and paragraphs, and asks whether it bears out what they claim";
  suggestions.append(check);
}

/* One answer at a time: Enter says so, and the question stays in its field. (The server refuses a second one in any case.) */
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || !view.busy || !event.target.closest?.("#question")) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  trigger("ask_too_early", {});
}, true);

find("reload").addEventListener("click", () => location.reload());
find("forget").addEventListener("click", () => trigger("forget_talk", {}));
