"""The methods, a folder each, and what they share.

A folder called `my_method` holds the method `"my-method"`: `MyMethodConfig` in `configuration_my_method.py` and
`MyMethodModel` in `modeling_my_method.py`, both exported and registered by its `__init__`. Nothing lists the folders.
"""

import pkgutil


def method_folders() -> dict[str, str]:
    """The folder of each method that ships with the package, by the method's name."""
    folders = [module.name for module in pkgutil.iter_modules(__path__) if module.ispkg]
    return {folder.replace("_", "-"): folder for folder in folders}


def class_prefix(folder: str) -> str:
    """How the names of a method's classes begin: `"clip_at"` -> `"ClipAt"`."""
    return "".join(part.title() for part in folder.split("_"))
