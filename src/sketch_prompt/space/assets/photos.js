// The grid of photos. A value is a batch of photos: the first batch of a search replaces the photos shown, later ones
// are added below. The next batch is requested when the end of the grid comes into view, or with the button.
// The grid and the viewer of a photo (viewer.js) communicate by events of the document.
const WAIT_MS = 20_000; // after this time, a batch that did not come can be requested again
const NEAR_PIXELS = 300;

const grid = element.querySelector(".photos");
const more = element.querySelector(".more");
let query = null;
let waitingSince = null; // when the next batch was requested

const cards = () => [...grid.querySelectorAll("[data-photo]")];
const chosen = () => grid.querySelector(".chosen");

function askForMore() {
  if (more.hidden || Date.now() - waitingSince < WAIT_MS) return;
  waitingSince = Date.now();
  trigger("input", { shown: cards().length, query });
}

function show(batch) {
  const start = Number(batch.dataset.start);
  if (start) {
    if (batch.dataset.query !== query || start !== cards().length) return; // a batch of an earlier search
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
  if (batch) show(batch);
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
