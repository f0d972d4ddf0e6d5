// Two answers side by side. In: props.value = {state, question, vote, said, sides: [{answer, ended, model, error, seconds, tokens}]};
// names come with the vote only. Text only ever becomes textContent. gradio runs this once, with blocks.js behind it.

const arena = element.querySelector(".arena");
const NAMES = ["Answer A", "Answer B"];
const places = [...arena.querySelectorAll(".answer")].map((answer) => ({ answer, groups: [] }));

function make(tag, className = "", values = {}) {
  return Object.assign(document.createElement(tag), { className, ...values });
}

function show() {
  const battle = props.value;
  arena.hidden = !battle || !battle.sides;
  if (arena.hidden) return;
  arena.dataset.state = battle.state;
  arena.querySelector(".asked").textContent = battle.question;
  arena.querySelectorAll(".side").forEach((section, place) => {
    const side = battle.sides[place];
    const named = side.model ? NAMES[place] + ": " + side.model : NAMES[place];
    section.querySelector("h3").textContent = named;
    drawBlocks(places[place], side.answer);
    section.classList.toggle("writing", !side.ended);
    section.setAttribute("aria-busy", String(!side.ended));
    section.querySelector(".facts").textContent = side.error || facts(side);
    section.classList.toggle("failed", Boolean(side.error));
    section.classList.toggle("chosen", ["leftvote", "rightvote"][place] === battle.vote);
  });
  arena.querySelector(".verdict").textContent = battle.said || "";
}

function facts(side) {
  const tokens = Number.isInteger(side.tokens) ? side.tokens + " tokens in " : "";
  return typeof side.seconds === "number" ? tokens + side.seconds.toFixed(1) + " s" : "";
}

watch("value", show);
show();
