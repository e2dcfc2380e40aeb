// The dialog with one large photo. The value is its content as HTML; an empty value closes the dialog.
const dialog = element.querySelector("dialog");
const body = element.querySelector(".body");
const said = element.querySelector(".said");

function open() {
  if (!dialog.open) dialog.showModal();
}

// Show the small picture at once, until the server sends the large one.
document.addEventListener("photo-chosen", ({ detail: { picture, name } }) => {
  const title = Object.assign(document.createElement("h2"), { id: "opened-name", textContent: name });
  const figure = Object.assign(document.createElement("figure"), { className: "large" });
  figure.append(Object.assign(document.createElement("img"), { src: picture, alt: name }));
  const wait = Object.assign(document.createElement("p"), { className: "fine", textContent: "Opening the photo …" });
  const opened = Object.assign(document.createElement("div"), { className: "opened waiting" });
  opened.append(figure, wait);
  body.replaceChildren(title, opened);
  said.textContent = "";
  open();
});

watch("value", () => {
  if (!props.value) {
    dialog.close();
    body.replaceChildren();
  } else if (dialog.open) {
    body.innerHTML = props.value;
    said.textContent = "";
  }
});

function step(by) {
  document.dispatchEvent(new CustomEvent("photo-step", { detail: by }));
}

async function copy(path) {
  try {
    await navigator.clipboard.writeText(path);
    said.textContent = "The path is copied.";
  } catch {
    getSelection().selectAllChildren(element.querySelector(".path"));
    said.textContent = "The path is selected: copy it with Ctrl+C.";
  }
}

dialog.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (event.target === dialog || button?.hasAttribute("data-close")) dialog.close();
  else if (button?.dataset.step) step(Number(button.dataset.step));
  else if (button?.dataset.copy !== undefined) copy(button.dataset.copy);
});

dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  else if (event.key === "ArrowRight") step(1);
});

dialog.addEventListener("close", () => document.dispatchEvent(new CustomEvent("photo-closed")));
