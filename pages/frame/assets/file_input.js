// Reads a chosen file in the browser and hands its bytes to the page: the server itself takes no uploads.
const listening = new WeakMap();

function encoded(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
}

export default function ({ parentElement, data, setTriggerValue }) {
  const input = parentElement.querySelector("input");
  parentElement.querySelector("span").textContent = data.label;
  input.accept = data.endings.join(",");
  async function chosen() {
    const file = input.files[0];
    if (!file) return;
    // One that is too large is refused by the page, which need not see it for that.
    const bytes = file.size > data.most ? new Uint8Array() : new Uint8Array(await file.arrayBuffer());
    setTriggerValue("file", { name: file.name, size: file.size, bytes: encoded(bytes) });
    input.value = ""; // the same file can be chosen again after it was changed
  }
  const before = listening.get(input);
  if (before) input.removeEventListener("change", before);
  input.addEventListener("change", chosen);
  listening.set(input, chosen);
}
