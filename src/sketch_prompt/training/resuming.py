"""Whether a run can go on from what an earlier one left: the same recipe, but for what does not matter."""

import shutil
from pathlib import Path
from typing import Any

from sketch_prompt.training.checkpoints import recover_folder
from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.recipe import RecipeError, read_recipe

# What may change between two sittings: it alters the speed or length of the run, not the steps already done.
_FREE = {
    "data": {"data_dir", "num_workers"},
    "optimisation": {"epochs", "max_steps", "gradient_accumulation_steps", "gradient_checkpointing"},
    "model": {"attn_implementation"},
}


def find_resumable(config: TrainingConfig) -> Path | None:
    """The folder of the last checkpoint if the run should go on from it, None if it starts afresh.

    Raises:
        FileNotFoundError: `run.resume` is `"must"` and there is no checkpoint.
        RecipeError: There is one, of another recipe; the message names the first key that differs.
    """
    folder = config.output_dir
    last = recover_folder(folder / "checkpoints/last") if config.run.resume != "never" else None
    if last is None:
        if config.run.resume == "must":
            raise FileNotFoundError(
                f"run.resume is 'must', but {folder / 'checkpoints/last'} is not there: "
                "give the run.output_dir of the run to go on with, or run.resume=auto"
            )
        return None
    earlier = TrainingConfig.from_dict(read_recipe(folder)).to_dict()
    for key, (old, new) in _differences(earlier, config.to_dict()).items():
        raise RecipeError(
            f"{folder} was trained with {key}={old}, not {new}: put it back, give another run.output_dir, "
            "or start afresh with run.resume=never"
        )
    return last


def forget(config: TrainingConfig) -> None:
    """Remove the checkpoints of an earlier run, so that nothing of it can be taken for this one's."""
    shutil.rmtree(config.output_dir / "checkpoints", ignore_errors=True)


def _differences(earlier: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    differing = {
        f"{section}.{key}": (earlier[section].get(key), value)
        for section in ("model", "data", "processor", "optimisation")
        for key, value in ({name: None for name in earlier[section]} | now[section]).items()
        if key not in _FREE.get(section, ()) and earlier[section].get(key) != value
    }
    seeds = earlier["run"]["seed"], now["run"]["seed"]
    return differing if seeds[0] == seeds[1] else {"run.seed": seeds} | differing
