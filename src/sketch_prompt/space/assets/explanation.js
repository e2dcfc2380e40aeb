// A new explanation moves into view.
watch("value", () => {
  if (props.value) element.scrollIntoView({ behavior: "smooth", block: "nearest" });
});
