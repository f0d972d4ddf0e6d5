// Takes files, wherever they are dropped on the page, pasted, or chosen here. Out: "upload" with {path, name} for a picture,
// "paper" for a paper (a PDF by its first bytes, anything else by its name). What happens to a file is told to the document as
// "file-told" {text, failed}, and shown by the paper bar. In: props.papers (endings), props.max_bytes.

const input = element.querySelector(".chooser"), zone = element.querySelector(".zone");
const tell = (text, failed = false) => document.dispatchEvent(new CustomEvent("file-told", { detail: { text, failed } }));
let taken = 0;

async function take(file) {
  const mine = ++taken;
  if (file.size > props.max_bytes)
    return tell(`${file.name} has ${Math.ceil(file.size / 1048576)} MB, at most ${Math.floor(props.max_bytes / 1048576)} are taken.`, true);
  tell(`Uploading ${file.name} …`);
  try {
    const head = new TextDecoder("latin1").decode(await file.slice(0, 1024).arrayBuffer());
    const pdf = head.includes("%PDF-"), named = !pdf || file.name.toLowerCase().endsWith(".pdf");
    const paper = pdf || props.papers.some((ending) => file.name.toLowerCase().endsWith(ending));
    const { path } = await upload(named ? file : new File([file], `${file.name}.pdf`, { type: "application/pdf" }));
    if (mine !== taken) return; // another one was chosen meanwhile
    tell("");
    if (paper) trigger("paper", { path, name: file.name });
    else trigger("upload", { path, name: file.name });
  } catch (error) {
    tell(`${file.name} did not arrive: ${error.message}`, true);
  }
}

function takeFrom(event, files) {
  if (event.defaultPrevented || !files?.length) return;
  event.preventDefault();
  take(files[0]);
}

input.addEventListener("change", () => {
  if (input.files.length) take(input.files[0]);
  input.value = "";
});
zone.addEventListener("click", () => input.click());
document.addEventListener("dragover", (event) => {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  document.body.classList.remove("dropping");
  takeFrom(event, event.dataTransfer?.files);
});
document.addEventListener("paste", (event) => takeFrom(event, event.clipboardData?.files));
