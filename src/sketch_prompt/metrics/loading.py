"""Load the metrics of this package with the `evaluate` library, without a network, and publish them."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from sketch_prompt.hub.upload import PushOptions

METRICS = ("sketch_retrieval", "sketch_instance_retrieval")


def load_metric(name: str, **options):
    """`evaluate.load` of a metric module that is installed with this package.

    Args:
        name: "sketch_retrieval" (mAP, precision at k) or "sketch_instance_retrieval" (accuracy at k).
        options: passed to `evaluate.load` (`experiment_id`, `num_process`, `keep_in_memory`, ...).

    Returns:
        An `evaluate.EvaluationModule`. Add queries with `add_batch(predictions=features, references=labels)`;
        the gallery goes into `compute(gallery_features=..., gallery_labels=...)`.

    Raises:
        ValueError: an unknown name.
    """
    if name not in METRICS:
        raise ValueError(f"Unknown metric {name!r}: choose one of {', '.join(METRICS)}.")
    import evaluate

    return evaluate.load(str(Path(__file__).parent / name), **options)


_EXAMPLES = {
    "sketch_retrieval": (
        "metric.compute(predictions=[[1.0, 0.0]], references=[0], gallery_features=[[1.0, 0.0], [0.0, 1.0]],\n"
        "               gallery_labels=[0, 1], ks=(1,))"
    ),
    "sketch_instance_retrieval": (
        'metric.compute(predictions=[[1.0, 0.0]], references=["a"], gallery_features=[[1.0, 0.0], [0.0, 1.0]],\n'
        '               gallery_instances=["a", "b"], ks=(1,))'
    ),
}
_APP = """import evaluate
from evaluate.utils import launch_gradio_widget

launch_gradio_widget(evaluate.load("{repo_id}"))
"""


def push_metric(name: str, repo_id: str, **options: "Unpack[PushOptions]"):
    """Publish a metric as a Space for `evaluate.load(repo_id)`, with a card.

    Args:
        name: As for `load_metric`.
        repo_id: Repository, `owner/name`. `evaluate` requires that it has the name of the metric.
        options: `private`, `token`, `revision`, `create_pr`, ...; see `hub.upload.PushOptions`.

    Returns:
        The commit, a string with its URL.

    Raises:
        ValueError: The name is unknown, or the repository has another name.
        PermissionError, ConnectionError: The Hub refuses it. The message says what to do.
    """
    if name not in METRICS:
        raise ValueError(f"Unknown metric {name!r}: choose one of {', '.join(METRICS)}.")
    if repo_id.rpartition("/")[2] != name:
        raise ValueError(f"evaluate finds the metric only in a repository of its name: push it to .../{name}")
    from huggingface_hub import SpaceCardData

    from sketch_prompt.hub.rendering import render
    from sketch_prompt.hub.upload import push

    title = name.replace("_", " ")
    info = load_metric(name)

    def write(folder: Path, repo_id: str) -> list[str]:
        data = SpaceCardData(
            title=title,
            sdk="gradio",
            app_file="app.py",
            license="apache-2.0",
            tags=["evaluate", "metric", "sketch-based-image-retrieval"],
        )
        files = {
            f"{name}.py": (Path(__file__).parent / name / f"{name}.py").read_text(encoding="utf-8"),
            "app.py": _APP.format(repo_id=repo_id),
            "requirements.txt": "evaluate\nsketch-prompt\n",
            "README.md": render(
                "metric_card.md.jinja",
                data,
                title=title,
                description=info.description.strip(),
                repo_id=repo_id,
                example=_EXAMPLES[name],
                inputs=f"```text\n{info.inputs_description.strip()}\n```",
            ),
        }
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
        return list(files)

    options = {"commit_message": "Upload a sketch-prompt metric", **options}
    return push(write, repo_id, repo_type="space", space_sdk="gradio", **options)
