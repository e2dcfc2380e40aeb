"""What pyproject.toml cannot say: the wheel holds the recipes of `hub_configs` as `sketch_prompt/recipes`."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithRecipes(build_py):
    """Copies `hub_configs/<recipe>/*.yaml` beside the package's own modules."""

    def run(self):
        """Build the package, then add the recipes."""
        super().run()
        if self.editable_mode:  # the recipes are read where they lie
            return
        for path in sorted(Path("hub_configs").glob("*/*.yaml")):
            target = Path(self.build_lib, "sketch_prompt", "recipes", *path.parts[1:])
            self.mkpath(str(target.parent))
            self.copy_file(str(path), str(target))


setup(cmdclass={"build_py": BuildWithRecipes})
