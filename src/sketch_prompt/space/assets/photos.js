// A click on a photo asks for its explanation.
element.addEventListener("click", (event) => {
  const photo = event.target.closest("[data-photo]");
  if (!photo) return;
  for (const other of element.querySelectorAll("[data-photo]")) {
    other.classList.toggle("chosen", other === photo);
  }
  trigger("select", { photo: Number(photo.dataset.photo) });
});
