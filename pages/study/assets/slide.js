// Draws a slide's words as text, and turns keys into slide numbers. Nothing here is ever parsed as HTML.
const listening = new WeakMap(); // of each place: who hears its keys, and the slides asked for and not drawn yet

function add(parent, tag, text) {
  const element = document.createElement(tag);
  // A number and its unit stay on one line: "-8 %" is no end of a line and no beginning of one.
  if (text !== undefined) element.textContent = text.replace(/(\d) (%|[kMG]?B|ms|s|kWh|J|USD|nats)(?![\w])/g, "$1\u00a0$2");
  parent.appendChild(element);
  return element;
}

function table(parent, rows, label) {
  const wide = add(parent, "div");
  wide.className = "wide";
  wide.tabIndex = 0;
  wide.setAttribute("role", "group");
  wide.setAttribute("aria-label", label);
  const drawn = add(wide, "table");
  rows.forEach((cells, place) => {
    const row = add(add(drawn, place ? "tbody" : "thead"), "tr");
    cells.forEach((text, column) => {
      const head = !place || !column;
      const cell = add(row, head ? "th" : "td", text);
      if (head) cell.scope = place ? "row" : "col";
    });
  });
}

// A drawing is a picture: nothing in it can run or ask for anything. A phone takes the narrow one.
function picture(parent, type, content, label, narrow) {
  const frame = add(parent, "picture");
  if (narrow) {
    const small = add(frame, "source");
    small.media = "(max-width: 640px)";
    small.srcset = `data:${type},${encodeURIComponent(narrow)}`;
  }
  const drawn = add(frame, "img");
  drawn.className = type === "image/png" ? "logo" : "drawing";
  drawn.alt = label;
  drawn.src = type === "image/png" ? `data:${type};base64,${content}` : `data:${type},${encodeURIComponent(content)}`;
}

function draw(root, data) {
  const old = root.querySelector(".slide");
  if (old) old.remove();
  const slide = add(root, "div");
  slide.className = `slide ${data.kind}`;
  slide.dataset.number = data.number;
  for (const name of ["accent", "on", "strong"]) if (data[name]) slide.style.setProperty(`--${name}`, data[name]);
  const head = add(slide, "div");
  head.className = "head";
  if (data.kind === "headline" && data.lead) add(head, "p", data.lead).className = "question";
  if (data.logo) picture(head, "image/png", data.logo, "Logo");
  const title = add(slide, "h1", data.title);
  if (data.title.length > 120) title.className = "long";
  if (data.big) add(slide, "p", data.big).className = data.big.length > 14 ? "big words" : "big";
  if (data.kind !== "headline" && data.lead) add(slide, "p", data.lead).className = "lead";
  if (data.kind === "method" || data.kind === "risk") {
    const list = add(slide, "ul");
    data.lines.forEach((line) => add(list, "li", line));
  } else {
    data.lines.forEach((line) => add(slide, "p", line));
  }
  if (data.picture) picture(slide, "image/svg+xml", data.picture, data.alt, data.narrow);
  if (data.table.length) table(slide, data.table, data.title);
}

function typing(event) {
  const at = event.composedPath()[0];
  return at instanceof HTMLElement && (at.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(at.tagName));
}

export default function ({ parentElement, data, setTriggerValue }) {
  draw(parentElement, data);
  const before = listening.get(parentElement);
  // Keys are faster than the server: the drawing of an earlier one does not take back what was asked for since.
  const place = before ? before.asked.lastIndexOf(data.number) : -1;
  const asked = place < 0 ? [] : before.asked.slice(place + 1);
  let now = asked.at(-1) ?? data.number;
  const keys = {
    ArrowRight: () => now + 1, PageDown: () => now + 1, ArrowLeft: () => now - 1, PageUp: () => now - 1,
    Home: () => 1, End: () => data.count, Escape: () => 0,
  };
  function press(event) {
    if (!parentElement.isConnected) return;
    if (!(event.key in keys) || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey || typing(event)) return;
    event.preventDefault();
    const wanted = event.key === "Escape" ? 0 : Math.min(data.count, Math.max(1, keys[event.key]()));
    if (wanted === now) return;
    now = wanted;
    asked.push(wanted);
    setTriggerValue("go", wanted);
  }
  if (before) window.removeEventListener("keydown", before.press);
  window.addEventListener("keydown", press);
  listening.set(parentElement, { press, asked });
  return () => {
    // The successor of this drawing is loaded a moment later; keys pressed until then are answered here.
    setTimeout(() => {
      window.removeEventListener("keydown", press);
      if (listening.get(parentElement)?.press === press) listening.delete(parentElement);
    }, 10000);
  };
}
