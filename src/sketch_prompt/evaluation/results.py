"""`results.jsonl`: one line an evaluation, appended by any number of processes."""

import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path

from sketch_prompt.atomic import append_line

from .report import Report

RESULTS_FILE = "results.jsonl"
_NEEDED = ("method", "model", "protocol", "level", "setting", "claim", "metrics")


def append_result(path: str | os.PathLike, report: Report) -> None:
    """Append what a report says in short; safe beside other writers."""
    append_line(path, json.dumps(report.summary(), ensure_ascii=False))


def read_results(paths: Iterable[str | os.PathLike]) -> list[dict]:
    """The lines of result files, in order. A line that cannot be read is passed over with a warning.

    Args:
        paths: files, or folders with a `results.jsonl`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there is no result in any of them.
    """
    results = []
    paths = [Path(path) / RESULTS_FILE if Path(path).is_dir() else Path(path) for path in paths]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no {path}: sketch-prompt evaluate writes one (--output FOLDER or --results FILE)."
            )
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
            if not line.strip():
                continue
            try:
                results.append(_read_line(line))
            except ValueError as error:
                warnings.warn(f"{path}, line {number} is passed over: {error}", stacklevel=2)
    if not results:
        raise ValueError(f"No result in {', '.join(map(str, paths))}.")
    return results


def _read_line(line: str) -> dict:
    result = json.loads(line)
    missing = [name for name in _NEEDED if not isinstance(result, dict) or name not in result]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    return result
