// The photos found. A value is a batch of them: the first one of a search takes the place of what is shown, the next
// ones join it. The next one is asked for when the end comes into view, or by the button.
// Talks with the viewer of a photo (viewer.js) by events of the document.
const WAIT_MS = 20_000; // after which a batch that did not come may be asked for again
const NEAR_PIXELS = 300;

const grid = element.querySelector(".photos");
const more = element.querySelector(".more");
let query = null;
let waitingSince = null; // when the next batch was asked for

const cards = () => [...grid.querySelectorAll("[data-photo]")];
const chosen = () => grid.querySelector(".chosen");

function askForMore() {
  if (more.hidden || Date.now() - waitingSince < WAIT_MS) return;
  waitingSince = Date.now();
  trigger("input", { shown: cards().length, query });
}

function take(batch) {
  const start = Number(batch.dataset.start);
  if (start) {
    if (batch.dataset.query !== query || start !== cards().length) return; // of a search that is over
  } else {
    query = batch.dataset.query;
    grid.replaceChildren();
  }
  grid.append(...batch.children);
  more.hidden = batch.dataset.more !== "1";
}

watch("value", () => {
  waitingSince = null;
  const parsed = new DOMParser().parseFromString(props.value || "", "text/html");
  const batch = parsed.querySelector(".batch");
  if (batch) take(batch);
  else {
    grid.replaceChildren();
    more.hidden = true;
  }
});

function choose(card) {
  for (const other of cards()) other.classList.toggle("chosen", other === card);
  const picture = card.querySelector("img").src;
  const name = card.querySelector(".name").textContent;
  document.dispatchEvent(new CustomEvent("photo-chosen", { detail: { picture, name } }));
  trigger("select", { photo: Number(card.dataset.photo) });
}

element.addEventListener("click", (event) => {
  const card = event.target.closest("[data-photo]");
  if (card) choose(card);
  else if (event.target.closest(".more")) askForMore();
});

document.addEventListener("photo-step", (event) => {
  const all = cards();
  const next = all[all.indexOf(chosen()) + event.detail];
  if (next) choose(next);
  if (all.indexOf(next) >= all.length - 2) askForMore();
});

document.addEventListener("photo-closed", () => chosen()?.focus());

window.addEventListener("scroll", () => more.getBoundingClientRect().top < innerHeight + NEAR_PIXELS && askForMore(), {
  passive: true,
});
