"""The web page of `sketch-prompt demo` and of the Space: draw, look at what is found, ask why."""
