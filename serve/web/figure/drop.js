// Takes files, wherever they are dropped on the page, pasted, or chosen here. Out: "upload" with {path, name, choice} for a
// picture, "paper" for a paper (a PDF by its first bytes, anything else by its name). What happens to a file is told to the
// document as "file-told" {text, failed}, and shown by the paper bar, which also opens a link that was dropped ("paper-linked").
// document.choices counts what was chosen, here and in the bar: the last choice counts. In: props.papers (endings), props.max_bytes.

const input = element.querySelector(".chooser"), zone = element.querySelector(".zone");
const tell = (text, failed = false) => document.dispatchEvent(new CustomEvent("file-told", { detail: { text, failed } }));
document.choices ??= 0;
let taken = 0;

async function take(file, others = 0) {
  const mine = ++taken;
  if (file.size > props.max_bytes)
    return tell(`${file.name} has ${Math.ceil(file.size / 1048576)} MB, at most ${Math.floor(props.max_bytes / 1048576)} are taken.`, true);
  const choice = ++document.choices;
  tell(`Uploading ${file.name} …`);
  try {
    const head = new TextDecoder("latin1").decode(await file.slice(0, 1024).arrayBuffer());
    // A ZIP archive may hold a PDF that is not compressed.
    const pdf = head.includes("%PDF-") && !head.startsWith("PK"), named = !pdf || file.name.toLowerCase().endsWith(".pdf");
    const paper = pdf || (!head.startsWith("PK") && props.papers.some((ending) => file.name.toLowerCase().endsWith(ending)));
    const { path } = await upload(named ? file : new File([file], `${file.name}.pdf`, { type: "application/pdf" }));
    if (mine !== taken) return; // another one was dropped meanwhile
    const left = others && `Only ${file.name} was taken: one file at a time. ${others === 1 ? "The other one was" : `The other ${others} were`} left out.`;
    if (!paper && choice !== document.choices) return tell(`${file.name} is not shown: another figure was chosen meanwhile.`, true);
    tell(left || "", Boolean(left));
    if (paper) {
      document.dispatchEvent(new CustomEvent("paper-asked", { detail: { choice } }));
      trigger("paper", { path, name: file.name });
    } else trigger("upload", { path, name: file.name, choice });
  } catch (error) {
    if (mine === taken) tell(`${file.name} did not arrive: ${error.message}`, true);
  }
}

function takeFrom(event, data) {
  if (event.defaultPrevented || !data) return;
  if (data.files?.length) {
    event.preventDefault();
    return take(data.files[0], data.files.length - 1);
  }
  if (inField(event)) return;
  const text = (data.getData("text/uri-list") || data.getData("text/plain")).trim();
  if (!text) return;
  event.preventDefault();
  if (/^\S*(arxiv|ar5iv)[\w.:/-]*\S*$|^\d{4}\.\d{4,5}(v\d+)?$/i.test(text))
    document.dispatchEvent(new CustomEvent("paper-linked", { detail: { source: text } }));
  else if (event.type === "drop")
    tell("Text is not taken here, nor a link: save the picture or the PDF, and drop the file. Links to arXiv are opened.", true);
}

const inField = (event) => event.target.closest?.("input:not([type=checkbox]), textarea, [contenteditable=true]");
const types = (event) => event.dataTransfer?.types || [];

input.addEventListener("change", () => {
  if (input.files.length) take(input.files[0]);
  input.value = "";
});
zone.addEventListener("click", () => input.click());
document.addEventListener("dragover", (event) => {
  const files = types(event).includes("Files");
  if (!files && (inField(event) || !types(event).some((type) => type.startsWith("text/")))) return;
  event.preventDefault();
  if (files) document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  document.body.classList.remove("dropping");
  takeFrom(event, event.dataTransfer);
});
document.addEventListener("paste", (event) => takeFrom(event, event.clipboardData));
