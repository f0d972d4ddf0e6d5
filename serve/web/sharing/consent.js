// What the visitor has agreed to, as this browser remembers it: props.value = {keep, figure}. sharing.js sends "edited".
// One choice for all tabs: what is switched off in one is off in the others.

const KEY = "llava-graph-log";

function stored() {
  try {
    return JSON.parse(localStorage.getItem(KEY) || "null") || { keep: false, figure: false };
  } catch {
    return { keep: false, figure: false };
  }
}

element.querySelector(".store").addEventListener("edited", (event) => {
  try {
    localStorage.setItem(KEY, JSON.stringify(event.detail));
  } catch {
    // A browser that keeps nothing: the choice holds until the page is left.
  }
  props.value = event.detail;
});
addEventListener("storage", (event) => {
  if (event.key === KEY || event.key === null) props.value = stored();
});
props.value = stored();
