"""The web page of `sketch-prompt demo` and of the Space: draw something, see the photos found, and ask why."""
