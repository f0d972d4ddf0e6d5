"use strict";
{
  const $ = (id) => document.getElementById(id);
  const papers = [...document.querySelectorAll(".paper")].map((element) => ({
    element,
    head: element.querySelector("header").textContent.toLowerCase(),
    drops: [...element.querySelectorAll(".drops tr")],
    figures: [...element.querySelectorAll(".figure")].map((card) => ({
      card,
      text: card.textContent.toLowerCase(),
      flags: card.dataset.flags.split(" "),
    })),
  }));
  const boxes = [...document.querySelectorAll("[data-flag]")];
  const chosen = (id) => ($(id) ? $(id).value : "");

  function filter() {
    const words = $("query").value.toLowerCase().split(/\s+/).filter(Boolean);
    const [kind, route, reason] = [chosen("kind"), chosen("route"), chosen("reason")];
    const flags = boxes.filter((box) => box.checked).map((box) => box.dataset.flag);
    const asked = words.length || kind || route || reason || flags.length;
    let figures = 0, shown = 0, dropped = 0;
    for (const paper of papers) {
      let here = 0;
      for (const { card, text, flags: its } of paper.figures) {
        const fits = !reason
          && (!kind || card.dataset.kind === kind)
          && (!route || card.dataset.route === route)
          && flags.every((flag) => its.includes(flag))
          && words.every((word) => text.includes(word) || paper.head.includes(word));
        card.hidden = !fits;
        here += fits;
      }
      let drops = 0;
      for (const row of paper.drops) {
        row.hidden = Boolean(reason) && row.dataset.reason !== reason;
        drops += !row.hidden;
      }
      paper.element.hidden = Boolean(asked) && !here && !(reason && drops);
      figures += paper.figures.length;
      shown += here;
      dropped += reason ? drops : 0;
    }
    $("nothing").hidden = papers.some((paper) => !paper.element.hidden);
    $("count").textContent = reason ? `${dropped} left out: ${reason}` : asked ? `${shown} of ${figures} figures` : `${figures} figures`;
  }

  $("filters").addEventListener("input", filter);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  const clear = () => { $("filters").reset(); filter(); };
  $("clear").addEventListener("click", clear);
  // A box on a page leads to its figure also where a filter hides it.
  addEventListener("hashchange", () => {
    const target = $(location.hash.slice(1));
    if (target && target.closest("[hidden]")) { clear(); target.scrollIntoView(); }
  });

  const narrow = matchMedia("(max-width: 760px)");
  const fold = () => { $("more").open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  fold();
}
