// The drawing area; it needs strokes.js. A drawing is a list of actions: strokes, and new sheets, which are blank or
// have an example or a picture. Undo removes the last action, redo adds it again, and the canvas is painted again.
// The value of the component is the drawing as data URL, or "" if it is blank. It is sent when the visitor pauses.
const REST_MS = 350;
const START_WIDTHS = { pen: 7, eraser: 44 };
const EXPORT_SCALE = 2;
const KEY_STEP = 16;
const SMALL_KEY_STEP = 4;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const find = (selector) => element.querySelector(selector);
const canvas = find("canvas");
const context = canvas.getContext("2d", { willReadFrequently: true });
const crosshair = find(".crosshair");
const widthSlider = find("[data-width]");
const linkField = find(".link");

const widths = { ...START_WIDTHS };
let actions = [];
let undone = [];
let tool = "pen";
let stroke = null; // the stroke that is being drawn
let timer = null;
let hand = [SIDE / 2, SIDE / 2]; // position of the pen that the keyboard moves

// Painting

function paintSegment(onto, { points, tool, width }, from) {
  onto.strokeStyle = tool === "pen" ? "black" : "white";
  onto.lineWidth = width;
  onto.lineCap = onto.lineJoin = "round";
  onto.beginPath();
  onto.moveTo(...points[Math.max(from - 1, 0)]);
  if (points.length === 1) onto.lineTo(...points[0]); // a dot
  for (const point of points.slice(from)) onto.lineTo(...point);
  onto.stroke();
}

// The content of the current sheet: a picture, and the strokes on top of it.
function sheet() {
  const start = actions.findLastIndex((action) => action.sheet);
  const below = start < 0 ? {} : actions[start].sheet;
  const above = actions.slice(start + 1).map((action) => action.stroke);
  return { picture: below.picture, strokes: [...(below.strokes ?? []), ...above] };
}

function paint(onto) {
  onto.fillStyle = "white";
  onto.fillRect(0, 0, SIDE, SIDE);
  const { picture, strokes } = sheet();
  if (picture) onto.drawImage(picture, 0, 0, SIDE, SIDE);
  for (const one of strokes) paintSegment(onto, one, 0);
}

function isBlank() {
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  for (let i = 0; i < pixels.length; i += 4) if (pixels[i] < 240) return false;
  return true;
}

// State of the buttons

function showState() {
  const { picture, strokes } = sheet();
  const isEmpty = !picture && !strokes.length;
  find(".hint").hidden = !isEmpty;
  find("[data-do=undo]").disabled = !actions.length;
  find("[data-do=redo]").disabled = !undone.length;
  for (const name of ["clear", "save", "share"]) find(`[data-do=${name}]`).disabled = isEmpty;
  for (const button of element.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", button.dataset.tool === tool);
  }
  widthSlider.value = widths[tool];
}

function say(text) {
  find(".said").textContent = text;
}

function choose(name) {
  tool = name;
  showState();
}

function setWidth(width) {
  widths[tool] = Math.min(Math.max(Math.round(width), 1), MAX_WIDTH);
  showState();
}

// Actions

function send() {
  timer = null;
  const drawing = isBlank() ? "" : canvas.toDataURL("image/png");
  if (drawing === (props.value || "")) return;
  props.value = drawing;
  trigger("input");
}

function changed(wait) {
  showState();
  linkField.hidden = true;
  clearTimeout(timer);
  timer = setTimeout(send, wait);
}

function act(action) {
  actions.push(action);
  undone = [];
}

function newSheet(content) {
  endStroke();
  act({ sheet: content });
  tool = "pen"; // an eraser has nothing to erase on a new sheet
  paint(context);
  changed(0);
}

function clear() {
  newSheet({});
  say("Cleared. Undo brings the drawing back.");
}

function step(from, to, what) {
  endStroke();
  if (!from.length) return;
  to.push(from.pop());
  paint(context);
  changed(0);
  say(what);
}

const undo = () => step(actions, undone, "Undone.");
const redo = () => step(undone, actions, "Redone.");

function startStroke(point) {
  clearTimeout(timer);
  stroke = { tool, width: widths[tool], points: [point] };
  act({ stroke });
  paintSegment(context, stroke, 1);
  showState();
}

function extendStroke(points) {
  const from = stroke.points.length;
  stroke.points.push(...points);
  paintSegment(context, stroke, from);
}

function endStroke() {
  if (!stroke) return;
  stroke = null;
  paint(context); // paint the whole line at once, so that it looks the same after an undo and a redo
  changed(REST_MS);
}

function pointAt(event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) * SIDE) / box.width, ((event.clientY - box.top) * SIDE) / box.height];
}

function loadPicture(address) {
  return new Promise((resolve, reject) => {
    const picture = new Image();
    picture.onload = () => resolve(picture);
    picture.onerror = reject;
    picture.src = address;
  });
}

async function startFrom(example) {
  if (example.strokes) {
    newSheet({ strokes: example.strokes.map((points) => ({ tool: "pen", width: START_WIDTHS.pen, points })) });
  } else {
    newSheet({ picture: await loadPicture(example.picture) });
  }
  say(`To start from: ${example.name}.`);
}

function save() {
  const large = document.createElement("canvas");
  large.width = large.height = SIDE * EXPORT_SCALE;
  const onto = large.getContext("2d");
  onto.scale(EXPORT_SCALE, EXPORT_SCALE);
  paint(onto);
  large.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = "drawing.png";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });
  say("Saved as drawing.png.");
}

async function share() {
  const { picture, strokes } = sheet();
  const text = picture ? null : strokesAsText(strokes);
  if (!text) {
    say(`${picture ? "A picture" : "A drawing of this size"} does not fit into a link. Save it as PNG instead.`);
    return;
  }
  const address = location.href.split("#")[0] + LINK_MARK + text;
  linkField.value = address;
  linkField.hidden = false;
  try {
    await navigator.clipboard.writeText(address);
    say("The link is copied. Whoever opens it sees this drawing.");
  } catch {
    linkField.focus();
    linkField.select();
    say("Copy the link above. Whoever opens it sees this drawing.");
  }
}

// Show the drawing of a link. Wait for the first answer of the page, which would replace the photos of this drawing.
async function openLink() {
  if (!location.hash.startsWith(LINK_MARK)) return;
  try {
    const strokes = textAsStrokes(location.hash.slice(LINK_MARK.length));
    while (!document.querySelector("#status .message")) await new Promise((go) => setTimeout(go, 50));
    newSheet({ strokes });
    say("This drawing came with the link.");
  } catch (error) {
    say(`The drawing of this link cannot be shown: ${error.message}.`);
  }
}

// Mouse, pen and finger

canvas.addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || event.button !== 0) return;
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  crosshair.hidden = true;
  endStroke();
  startStroke(pointAt(event));
});

canvas.addEventListener("pointermove", (event) => {
  if (!stroke || !event.isPrimary || !canvas.hasPointerCapture(event.pointerId)) return;
  const events = event.getCoalescedEvents?.() ?? [];
  extendStroke((events.length ? events : [event]).map(pointAt));
});

for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, (event) => event.isPrimary && endStroke());
}

element.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { tool: chosen, do: action, example } = button.dataset;
  if (chosen) choose(chosen);
  else if (action) await { undo, redo, clear, save, share }[action]();
  else if (example) await startFrom(props.examples[Number(example)]);
});

widthSlider.addEventListener("input", () => setWidth(Number(widthSlider.value)));

// Keyboard

function isTyping({ target }) {
  const fields = "textarea, [contenteditable=true], input:not([type=range], [type=checkbox], [type=radio])";
  return target.matches?.(fields) && !target.readOnly;
}

document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.altKey || isTyping(event)) return;
  if (document.querySelector("dialog[open]")) return;
  const key = event.key.toLowerCase();
  if (key === "z" && !event.shiftKey) undo();
  else if (key === "y" || key === "z") redo();
  else return;
  event.preventDefault();
});

function moveHand([x, y], distance) {
  const inside = (value) => Math.min(Math.max(value, 0), SIDE);
  hand = [inside(hand[0] + x * distance), inside(hand[1] + y * distance)];
  if (stroke) extendStroke([hand]);
}

function showHand() {
  crosshair.hidden = false;
  crosshair.classList.toggle("down", stroke !== null);
  crosshair.style.left = `${(100 * hand[0]) / SIDE}%`;
  crosshair.style.top = `${(100 * hand[1]) / SIDE}%`;
}

function putDownOrLift() {
  if (stroke) endStroke();
  else startStroke(hand);
  say(stroke ? "Pen down." : "Pen up.");
}

canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const keys = {
    " ": putDownOrLift,
    Escape: endStroke,
    Delete: clear,
    Backspace: clear,
    p: () => choose("pen"),
    e: () => choose("eraser"),
    "[": () => setWidth(widths[tool] - 2),
    "]": () => setWidth(widths[tool] + 2),
  };
  if (event.key in ARROWS) moveHand(ARROWS[event.key], event.shiftKey ? SMALL_KEY_STEP : KEY_STEP);
  else if (keys[event.key]) keys[event.key]();
  else return;
  event.preventDefault();
  showHand();
});

canvas.addEventListener("blur", () => {
  endStroke();
  crosshair.hidden = true;
});

// The server sends an uploaded drawing as the value.
watch("value", async () => {
  if (!props.value) return;
  const picture = await loadPicture(props.value);
  endStroke();
  clearTimeout(timer);
  act({ sheet: { picture } });
  tool = "pen";
  paint(context);
  showState();
  trigger("input");
});

watch("examples", showState); // new examples render all buttons again
window.addEventListener("hashchange", openLink);
paint(context);
showState();
openLink();
