// An answer's blocks, with the sources of its sentences. Shares the scope of the script that it stands behind: the conversation's,
// the arena's; each has `make`. A place is {answer: an element, groups: []}.

/* Blocks */

/* Items in a row are one list, rows one table; a group is drawn anew only when something in it has changed. */
function drawBlocks(place, answer) {
  const groups = [];
  for (const block of answer.blocks) {
    const kind = { item: "list", numbered: "list", row: "table" }[block.kind];
    const last = groups[groups.length - 1];
    if (kind && last?.kind === kind && (kind === "table" || last.blocks[0].kind === block.kind || block.level)) last.blocks.push(block);
    else groups.push({ kind: kind || block.kind, blocks: [block] });
  }
  groups.forEach((group, at) => {
    const numbers = new Set(group.blocks.flatMap((block) => (block.cells || []).flat().map((run) => run[2])));
    const key = JSON.stringify([group, [...numbers].map((number) => answer.sentences[number])]);
    if (place.groups[at]?.key === key) return;
    const node = drawGroup(group, answer);
    if (place.groups[at]) place.groups[at].node.replaceWith(node);
    else place.answer.append(node);
    place.groups[at] = { key, node };
  });
  while (place.groups.length > groups.length) place.groups.pop().node.remove();
}

function drawGroup({ kind, blocks }, answer) {
  if (kind === "list") return drawList(blocks, answer);
  if (kind === "table") return drawTable(blocks, answer);
  const [block] = blocks;
  if (kind === "section") return make("h3", "section run", { textContent: block.title });
  if (kind === "claims") return drawClaims(block.claims);
  if (kind === "code") {
    const code = make("pre", "code run");
    code.textContent = block.cells[0].map((run) => run[0]).join("\n");
    code.tabIndex = 0;
    return code;
  }
  const node = make(kind === "heading" ? "h4" : "p");
  drawRuns(node, block.cells[0], answer);
  return node;
}

function drawList(blocks, answer) {
  const list = make(blocks[0].kind === "numbered" ? "ol" : "ul");
  if (blocks[0].number) list.start = Number(blocks[0].number);
  for (const block of blocks) {
    const item = make("li", "deep-" + block.level);
    drawRuns(item, block.cells[0], answer);
    list.append(item);
  }
  return list;
}

const SAID = { shown: "shown in the figure", "not shown": "not shown in the figure", contradicted: "contradicted by the figure" };

/* What the paper says, what the model says to it, and whether its numbers stand in the figure: each under its own name. */
function drawClaims(claims) {
  const list = make("ol", "claims");
  for (const claim of claims) {
    const item = make("li", "claim"), quote = make("blockquote");
    const source = make("button", "source", { type: "button", textContent: claim.chip.label, tabIndex: -1, chip: claim.chip });
    quote.append(make("span", "whose", { textContent: "The paper: " }), make("q", "", { textContent: claim.text }), source);
    const model = make("p", "model");
    model.append(make("span", "whose", { textContent: "The model: " }));
    model.append(make("strong", claim.verdict.replace(" ", "-"), { textContent: SAID[claim.verdict] || "no verdict" }));
    if (claim.reason) model.append(make("span", "run", { textContent: " " + claim.reason }));
    item.append(quote, model);
    if (claim.numbers) item.append(make("p", "numbers", { textContent: claim.numbers }));
    list.append(item);
  }
  return list;
}

function drawTable(blocks, answer) {
  const scroll = make("div", "table"), table = make("table");
  scroll.tabIndex = 0;
  blocks.forEach((block, at) => {
    const row = make("tr");
    block.cells.forEach((cell, column) => {
      const node = make(at ? "td" : "th");
      // A row is one sentence: its sources stand at its end.
      drawRuns(node, cell, answer, column === block.cells.length - 1);
      row.append(node);
    });
    table.append(row);
  });
  scroll.append(table);
  return scroll;
}

const TAGS = { strong: "strong", em: "em", code: "code", formula: "span" };

function drawRuns(node, runs, answer, withSources = true) {
  runs.forEach(([text, style, sentence, mark], at) => {
    let inner = make("span", "run", { textContent: text });
    for (const name of style.split(" ").filter(Boolean).reverse()) {
      const outer = make(TAGS[name], name);
      outer.append(inner);
      inner = outer;
    }
    const told = answer.sentences[sentence];
    if (told) {
      inner.classList.add("said");
      inner.dataset.sentence = sentence;
      if (told.verdict === "not found") inner.classList.add("unfound");
      if (told.note && mark < 0) inner.title = told.note;
    }
    if (mark >= 0) inner = markedAs(answer.marks[mark], inner);
    node.append(inner);
    if (told && withSources && runs[at + 1]?.[2] !== sentence) node.append(...sources(told, sentence));
  });
}

function markedAs(mark, inner) {
  const node = make("span", "unborne " + mark.kind, { title: mark.note });
  node.append(inner);
  node.append(make("span", "hidden-note", { textContent: ` (${mark.note})` }));
  return node;
}

function sources(told, sentence) {
  const chips = told.chips.map((chip) => {
    const button = make("button", "source", { type: "button", textContent: chip.label, tabIndex: -1 });
    button.setAttribute("aria-label", `Evidence: ${chip.label}`);
    Object.assign(button, { chip });
    button.dataset.sentence = sentence;
    return button;
  });
  if (told.verdict === "not found" && !chips.length)
    chips.push(make("span", "source none", { textContent: "not in the text", title: told.note }));
  return chips;
}
