// The chart's data as a table that sorts by its columns. In: props.value = {title, source, problems, header, rows: [[{text, number}]],
// csv}. Text only ever becomes textContent. gradio hands in `element`, `props`, `watch`.

const data = element.querySelector(".data");
const part = (name) => data.querySelector(name);
let sorted = null;

function make(tag, textContent = "") {
  return Object.assign(document.createElement(tag), { textContent });
}

function show() {
  const value = props.value;
  sorted = null;
  data.hidden = !value || !value.header;
  if (data.hidden) return;
  part(".source").textContent = value.source;
  part(".problems").replaceChildren(...value.problems.map((problem) => make("li", problem)));
  part("caption").textContent = value.title;
  part("thead tr").replaceChildren(...value.header.map(head));
  part(".done").textContent = "";
  fill(value.rows);
}

function head(name, column) {
  const cell = make("th"), button = Object.assign(make("button", name || `column ${column + 1}`), { type: "button" });
  cell.scope = "col";
  button.addEventListener("click", () => sortBy(column));
  cell.append(button);
  return cell;
}

function fill(rows) {
  part("tbody").replaceChildren(...rows.map((row) => {
    const line = make("tr");
    line.append(...row.map(({ text, number }) => Object.assign(make("td", text), { className: number === null ? "" : "number" })));
    return line;
  }));
}

/* A press sorts upwards, the next one downwards, the third brings back the order of the table. */
function sortBy(column) {
  const down = sorted?.column === column ? (sorted.down ? null : true) : false;
  sorted = down === null ? null : { column, down };
  part("thead").querySelectorAll("th").forEach((cell, place) => {
    if (sorted && place === column) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
  const rows = [...props.value.rows];
  if (sorted) rows.sort((one, other) => order(one[column], other[column]) * (down ? -1 : 1));
  fill(rows);
}

/* Numbers before words. */
function order(one, other) {
  if (one.number !== null && other.number !== null) return one.number - other.number;
  if (one.number !== null || other.number !== null) return one.number !== null ? -1 : 1;
  return one.text.localeCompare(other.text);
}

part(".copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(props.value.csv);
    part(".done").textContent = "Copied.";
  } catch {
    part(".done").textContent = "The browser does not allow copying here: save it.";
  }
});
part(".save").addEventListener("click", () => {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([props.value.csv], { type: "text/csv;charset=utf-8" }));
  link.download = "chart-data.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
});

watch("value", show);
show();
