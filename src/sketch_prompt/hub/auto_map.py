"""The small modules in a checkpoint that let transformers' Auto classes find this package.

`AutoModel.from_pretrained(id, trust_remote_code=True)` imports the module that `auto_map` names. The module only
imports the class from the package. If the package is not installed, the error of transformers names it.
"""

from importlib import import_module

MODEL_MODULE = "sketch_prompt_model"
PROCESSOR_MODULE = "sketch_prompt_processor"

_TEXT = '''"""Lets the Auto classes of transformers find the package of this checkpoint: pip install {distribution}"""

{imports}
'''


def auto_map(module: str, **classes: type) -> dict[str, str]:
    """`auto_map` of a configuration: Auto class -> `module.Class`."""
    return {auto: f"{module}.{cls.__name__}" for auto, cls in classes.items()}


def module_source(*classes: type) -> str:
    """Source of a module that imports these classes, from the top of their package where that has them."""
    package = classes[0].__module__.split(".")[0]
    names: dict[str, list[str]] = {}
    for cls in sorted(classes, key=lambda cls: cls.__name__):
        public = getattr(import_module(package), cls.__name__, None) is cls
        names.setdefault(package if public else cls.__module__, []).append(cls.__name__)
    imports = "\n".join(f"from {module} import {', '.join(found)}" for module, found in sorted(names.items()))
    return _TEXT.format(distribution=package.replace("_", "-"), imports=imports)
