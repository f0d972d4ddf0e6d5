// Two figures beside each other. In: props.value = {one, other}, each {image, name, caption} or null. Text only ever becomes
// textContent. gradio hands in `element`, `props`, `watch`.

const EMPTY = { one: "Keep the figure that is shown as Figure A.", other: "Then choose another one: from the paper, an upload or an example." };

function show() {
  for (const side of ["one", "other"]) {
    const told = props.value?.[side], box = element.querySelector("." + side), image = box.querySelector("img");
    image.hidden = !told;
    if (told) image.src = told.image;
    else image.removeAttribute("src");
    image.alt = told ? `${told.name}: ${told.caption || "no caption"}` : "";
    box.querySelector(".empty").textContent = told ? "" : EMPTY[side];
    box.querySelector("figcaption").textContent = told ? `${told.name}. ${told.caption}` : "";
  }
}

watch("value", show);
show();
