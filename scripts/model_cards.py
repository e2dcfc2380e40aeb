"""Copy the cards of the bundled checkpoints to `model_cards/`, where a reader of the repository finds them.

python scripts/model_cards.py            # after a checkpoint was bundled
python scripts/model_cards.py --check    # exit code 1 if a card is out of date
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "src" / "sketch_prompt" / "assets"
CARDS = ROOT / "model_cards"


def cards() -> dict[Path, str]:
    """What `model_cards/` should hold: the README of every checkpoint among the assets."""
    readmes = sorted(path for path in ASSETS.glob("*/README.md") if (path.parent / "config.json").is_file())
    return {CARDS / f"{path.parent.name}.md": path.read_text(encoding="utf-8") for path in readmes}


def out_of_date() -> list[Path]:
    """Cards that are missing, differ, or are of no bundled checkpoint."""
    wanted, there = cards(), set(CARDS.glob("*.md"))
    stale = [path for path, text in wanted.items() if path not in there or path.read_text("utf-8") != text]
    return sorted({*stale, *(there - wanted.keys())})


def write() -> None:
    """Bring `model_cards/` up to date."""
    for path in out_of_date():
        path.unlink(missing_ok=True)
    for path, text in cards().items():
        path.write_text(text, encoding="utf-8")


def main() -> int:
    """Write the cards, or check them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a card is out of date")
    if not parser.parse_args().check:
        write()
    stale = out_of_date()
    for path in stale:
        print(f"out of date: {path.relative_to(ROOT)}; run scripts/model_cards.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
