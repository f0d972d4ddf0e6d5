// A file that the server has written as text, saved by the browser: props.value = {name, type, text}.

watch("value", () => {
  const file = props.value;
  if (!file || !file.name) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([file.text], { type: file.type + ";charset=utf-8" }));
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
});
