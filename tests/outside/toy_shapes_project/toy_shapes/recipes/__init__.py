"""The recipes of the package, found by name through its entry point."""
