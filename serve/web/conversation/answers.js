// An answer's evidence lights up. Shares the scope of conversation.js and blocks.js, which it stands behind.

/* Lighting up what bears a sentence out */

const NOTHING = { lines: [], caption: false, paragraphs: [], regions: [], spans: {} };

function lightOf(chips) {
  const spans = {};
  for (const chip of chips) if (chip.spans) spans[chip.caption ? "caption" : chip.paragraph] = chip.spans;
  return {
    lines: chips.flatMap((chip) => chip.lines || []),
    caption: chips.some((chip) => chip.caption),
    paragraphs: chips.filter((chip) => chip.paragraph !== undefined).map((chip) => chip.paragraph),
    regions: [],
    spans,
  };
}

let lit = null;

function light(at) {
  const target = talk.classList.contains("plain") ? null : at?.closest?.(".source:not(.none), .said");
  if (target === lit) return;
  lit = target;
  for (const node of turnsAt.querySelectorAll(".lit")) node.classList.remove("lit");
  let detail = NOTHING;
  if (target) {
    const answer = target.closest(".answer"), number = target.dataset.sentence ?? "";
    const chips = [...answer.querySelectorAll(`.source[data-sentence="${number}"]`)];
    for (const node of answer.querySelectorAll(`[data-sentence="${number}"]`)) node.classList.add("lit");
    detail = lightOf(target.chip ? [target.chip] : chips.map((node) => node.chip));
  }
  document.dispatchEvent(new CustomEvent("llava:light", { detail }));
}

document.addEventListener("llava:light", ({ detail }) =>
  document.querySelector("#caption")?.classList.toggle("evidence-lit", Boolean(detail?.caption)));

turnsAt.addEventListener("pointerover", (event) => light(event.target));
turnsAt.addEventListener("pointerleave", () => light(null));
turnsAt.addEventListener("focusin", (event) => light(event.target));
turnsAt.addEventListener("focusout", () => light(null));

/* A press goes to the source: on a phone it stands above. */
turnsAt.addEventListener("click", (event) => {
  const chip = event.target.closest(".source")?.chip;
  if (!chip) return;
  light(event.target);
  document.dispatchEvent(new CustomEvent("llava:light", { detail: { ...lightOf([chip]), show: true } }));
  const place = chip.caption ? "#caption" : chip.lines ? "#viewer" : "";
  if (place) document.querySelector(place)?.scrollIntoView({ block: "nearest", behavior: "smooth" });
  // In one column the source is far from its sentence.
  if (innerWidth > 800) return;
  cameFrom = event.target;
  find("back").hidden = false;
});

let cameFrom = null;

find("back").addEventListener("click", () => {
  find("back").hidden = true;
  if (!cameFrom?.isConnected) return log.scrollIntoView({ block: "nearest" });
  cameFrom.scrollIntoView({ block: "center" });
  cameFrom.focus({ preventScroll: true });
});

/* One tab stop an answer; the arrow keys go from source to source. */
turnsAt.addEventListener("keydown", (event) => {
  const here = event.target.closest(".source"), way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!here || !way) return;
  event.preventDefault();
  const all = [...here.closest(".answer").querySelectorAll("button.source")];
  const next = all[Math.max(0, Math.min(all.length - 1, all.indexOf(here) + way))];
  here.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});

/* The switch, and what the marks mean */

find("evidence").addEventListener("change", (event) => {
  talk.classList.toggle("plain", !event.target.checked);
  light(null);
});
find("meaning").addEventListener("click", (event) => {
  const open = find("legend").hidden;
  find("legend").hidden = !open;
  event.target.setAttribute("aria-expanded", String(open));
});

watch("value", show);
show();
