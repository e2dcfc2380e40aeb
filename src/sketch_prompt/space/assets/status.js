// What is said here, screen readers read out.
element.setAttribute("role", "status");
element.setAttribute("aria-live", "polite");
