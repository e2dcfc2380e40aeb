"""Register our methods with the Auto classes of transformers, whichever package is imported first.

Importing this package does not import transformers, which takes seconds. If transformers is imported already, the
methods are registered at once, and otherwise when it is imported.
"""

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.util import find_spec


def register_with_transformers() -> None:
    """Register the methods with `AutoConfig`, `AutoModel`, `AutoProcessor` and `AutoImageProcessor`, now or later."""
    if "transformers" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _AfterTransformers())


def _register() -> None:
    # Where this package's own modules are what imports transformers, they register the methods themselves.
    ours = ("sketch_prompt.processing", "sketch_prompt.models.")
    if not any(name.startswith(ours) for name in sys.modules):
        import_module("sketch_prompt.models.auto")


class _AfterTransformers(MetaPathFinder):
    """Registers the methods when transformers is imported, and removes itself."""

    def find_spec(self, fullname, path=None, target=None):
        """The spec of the other finders, with a step after the execution of the module."""
        if fullname != "transformers":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module) -> None:
                execute(module)
                _register()

            spec.loader.exec_module = execute_and_register
        return spec
