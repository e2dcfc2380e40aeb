// The drawing area. What was done is a list of actions, so that undo is dropping the last one and drawing anew.
// The component's value is the drawing as a data URL, or "" for an empty one; it is sent when the hand rests.
const REST_MS = 350;
const WIDTHS = { pen: 7, eraser: 44 };

const canvas = element.querySelector("canvas");
const context = canvas.getContext("2d", { willReadFrequently: true });
const hint = element.querySelector(".hint");
const toolButtons = [...element.querySelectorAll("[data-tool]")];
const undoButton = element.querySelector("[data-do=undo]");
const clearButton = element.querySelector("[data-do=clear]");

let actions = [];
let tool = "pen";
let stroke = null;
let timer = null;

function paper() {
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
}

function paintSegment({ points, tool }, from) {
  context.strokeStyle = context.fillStyle = tool === "pen" ? "black" : "white";
  context.lineWidth = WIDTHS[tool];
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.moveTo(...points[Math.max(from - 1, 0)]);
  for (const point of points.slice(from)) context.lineTo(...point);
  context.stroke();
}

function repaint() {
  paper();
  for (const action of actions) {
    if (action.points) paintSegment(action, 0);
    else if (action.picture) context.drawImage(action.picture, 0, 0, canvas.width, canvas.height);
    else paper();
  }
}

function isBlank() {
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  for (let i = 0; i < pixels.length; i += 4) if (pixels[i] < 240) return false;
  return true;
}

function showState() {
  hint.hidden = actions.length > 0;
  undoButton.disabled = actions.length === 0;
  clearButton.disabled = actions.length === 0;
}

function send() {
  timer = null;
  const drawing = isBlank() ? "" : canvas.toDataURL("image/png");
  if (drawing === (props.value || "")) return;
  props.value = drawing;
  trigger("input");
}

function changed(wait) {
  showState();
  clearTimeout(timer);
  timer = setTimeout(send, wait);
}

function pointAt(event) {
  const box = canvas.getBoundingClientRect();
  return [
    ((event.clientX - box.left) * canvas.width) / box.width,
    ((event.clientY - box.top) * canvas.height) / box.height,
  ];
}

function loadPicture(address) {
  return new Promise((resolve, reject) => {
    const picture = new Image();
    picture.onload = () => resolve(picture);
    picture.onerror = reject;
    picture.src = address;
  });
}

async function put(address) {
  actions.push({}, { picture: await loadPicture(address) });
  repaint();
}

canvas.addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || event.button !== 0) return;
  event.preventDefault();
  canvas.setPointerCapture(event.pointerId);
  clearTimeout(timer);
  const point = pointAt(event);
  stroke = { tool, points: [point, point] }; // twice: a tap is a dot
  actions.push(stroke);
  paintSegment(stroke, 1);
  showState();
});

canvas.addEventListener("pointermove", (event) => {
  if (!stroke || !event.isPrimary) return;
  const events = event.getCoalescedEvents?.() ?? [];
  const from = stroke.points.length;
  stroke.points.push(...(events.length ? events : [event]).map(pointAt));
  paintSegment(stroke, from);
});

for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, (event) => {
    if (!stroke || !event.isPrimary) return;
    stroke = null;
    repaint(); // the line in one piece, as undo will draw it
    changed(REST_MS);
  });
}

function undo() {
  const last = actions.pop();
  if (last?.picture) actions.pop(); // a picture comes with the clean sheet below it
  repaint();
  changed(0);
}

element.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.tool) {
    tool = button.dataset.tool;
    for (const other of toolButtons) other.setAttribute("aria-pressed", other === button);
  } else if (button === undoButton) {
    undo();
  } else if (button === clearButton) {
    actions.push({});
    repaint();
    changed(0);
  } else if (button.dataset.example) {
    await put(button.dataset.example);
    changed(0);
  }
});

element.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && actions.length) {
    event.preventDefault();
    undo();
  }
});

// An uploaded drawing comes from the server as the value.
watch("value", async () => {
  if (!props.value) return;
  clearTimeout(timer);
  await put(props.value);
  showState();
  trigger("input");
});

paper();
