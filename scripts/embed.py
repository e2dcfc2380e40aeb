"""Index a large corpus with several processes: `accelerate launch scripts/embed.py PHOTOS -o GALLERY --model MODEL`.

Each process embeds its share and writes it down as it goes. A run that is killed goes on with the same command, on any
number of processes; the gallery is that of `sketch-prompt index`.
"""

import argparse
import sys
from pathlib import Path

from accelerate import Accelerator

from sketch_prompt.gallery.gallery import Gallery
from sketch_prompt.gallery.indexes import KINDS
from sketch_prompt.gallery.store import FLUSH_SECONDS


def main() -> int:
    """Parse the command line, embed, print what was done."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="folder of photos; its subfolders are searched too")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the gallery")
    parser.add_argument(
        "--model",
        help="directory, Hub id or bundled name; by default the gallery's, mini-clip-at for a new gallery",
    )
    parser.add_argument("--base-model", help="where to get the frozen CLIP")
    parser.add_argument("--index", choices=KINDS, help="by default the gallery's; auto for a new one")
    parser.add_argument(
        "--by-category", action="store_true", help="embed photos under their folders' categories"
    )
    parser.add_argument("--milvus-uri", help="address of a Milvus cluster")
    parser.add_argument("--batch-size", type=int, default=64, help="photos a forward pass")
    parser.add_argument(
        "--num-workers", type=int, help="processes that read photos, for each of the processes"
    )
    parser.add_argument(
        "--flush-seconds", type=float, default=FLUSH_SECONDS, help="work that a kill may cost"
    )
    arguments = parser.parse_args()
    accelerator = Accelerator()
    try:
        gallery = Gallery.build(
            arguments.model,
            arguments.photos,
            arguments.output,
            accelerator=accelerator,
            index=arguments.index,
            by_category=arguments.by_category or None,
            milvus_uri=arguments.milvus_uri,
            base_model=arguments.base_model,
            batch_size=arguments.batch_size,
            num_workers=arguments.num_workers,
            flush_seconds=arguments.flush_seconds,
            device=str(accelerator.device),
        )
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return 130
    if accelerator.is_main_process:
        print(gallery.changes.describe(len(gallery)), file=sys.stderr)
        print(f"Wrote {arguments.output}: {gallery.index.describe()}", file=sys.stderr)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return 0


if __name__ == "__main__":
    sys.exit(main())
