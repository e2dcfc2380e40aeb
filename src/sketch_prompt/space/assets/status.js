// Screen readers read the content aloud when it changes.
element.setAttribute("role", "status");
element.setAttribute("aria-live", "polite");
