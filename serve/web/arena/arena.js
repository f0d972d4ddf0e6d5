// Two answers side by side. In: props.value = {state, question, vote, said, sides: [{text, ended, model, error, seconds, tokens}]};
// names come with the vote only. Text only ever becomes textContent. gradio hands in `element`, `props`, `watch`.

const arena = element.querySelector(".arena");
const NAMES = ["Answer A", "Answer B"];

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
    section.querySelector(".text").textContent = side.text || (side.ended ? "" : "Thinking …");
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
