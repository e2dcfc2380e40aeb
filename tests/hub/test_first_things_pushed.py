"""What a user of transformers and huggingface_hub does first to publish, and with what is published.

The other half of `test_first_things_typed.py`: each test is one case, classes are the groups.
"""

import os

import datasets
import evaluate
import pytest
import torch
from huggingface_hub import (
    DatasetCard,
    HfApi,
    HfFileSystem,
    ModelCard,
    constants,
    hf_hub_download,
    metadata_update,
    snapshot_download,
)
from PIL import Image
from transformers import AutoModel, Trainer, TrainingArguments

from fakes.checkpoints import ADAPTER, BASE, WHOLE, same
from fakes.clip import Triplets
from fakes.hub import STRANGER, TOKEN
from fakes.names import without_addresses
from fakes.photos import make_model, picture, write_photos
from sketch_prompt import Gallery, SketchPromptModel, SketchPromptProcessor, load_benchmark
from sketch_prompt.data.benchmarks import default_level
from sketch_prompt.data.hub import push_benchmark
from sketch_prompt.metrics.loading import METRICS, load_metric, push_metric


@pytest.fixture
def model(given, folders):
    """The adapter as somebody has it in memory who wants to publish it."""
    return SketchPromptModel.from_pretrained(ADAPTER)


def by_method(model, folder, name, **options):
    return model.push_to_hub(name, **options)


def by_saving(model, folder, name, **options):
    return model.save_pretrained(folder / "saved", push_to_hub=True, repo_id=name, **options)


WAYS = [by_method, by_saving]
OPTIONS = [
    {},
    {"private": True},
    {"token": TOKEN},
    {"revision": "v1"},
    {"create_pr": True},
    {"commit_message": "mine"},
    {"commit_message": None, "commit_description": "why"},
    {"tags": ["shoes"]},
    {"tags": "shoes"},
    {"include_backbone": True},
    {"include_backbone": False},
    {"max_shard_size": "50KB", "include_backbone": True},
    {"safe_serialization": True},
]


class TestPush:
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("options", OPTIONS, ids=without_addresses)
    def test_and_load(self, options, way, model, given, folders, tmp_path):
        commit = way(model, tmp_path, "me/mine", **options)
        repository = given["me/mine"]
        assert commit.startswith(f"{given.url}/me/mine/commit/") and repository.private == bool(
            options.get("private")
        )
        revision = commit.pr_revision or options.get("revision") or "main"
        assert repository.refs[revision] == commit.oid
        assert repository.titles[commit.oid] == options.get("commit_message") or "sketch-prompt"
        files = repository.files(revision)
        assert ("model.safetensors" in files or "model.safetensors.index.json" in files) == bool(
            options.get("include_backbone")
        )
        assert ("- shoes" in files["README.md"].decode()) == ("tags" in options)
        assert same(SketchPromptModel.from_pretrained("me/mine", revision=revision), folders.model)

    def test_to_a_name_of_ones_own(self, model, given):
        assert model.push_to_hub("mine").startswith(f"{given.url}/me/mine/")

    def test_into_the_folders_name(self, model, given, tmp_path):
        assert model.save_pretrained(tmp_path / "mine", push_to_hub=True) and "me/mine" in given

    def test_into_a_repository_that_was_made_before(self, model, given, folders):
        HfApi(token=TOKEN).create_repo("me/mine", private=True)
        model.push_to_hub("me/mine")
        assert given["me/mine"].private

    def test_twice(self, model, given, folders):
        model.push_to_hub("me/mine")
        model.push_to_hub("me/mine")
        assert same(SketchPromptModel.from_pretrained("me/mine"), folders.model)

    def test_what_was_loaded_keeps_its_results(self, model, given):
        model.push_to_hub("me/mine")
        assert [result.metric_value for result in ModelCard.load("me/mine").data.eval_results] == [50.0]

    @pytest.mark.parametrize("part", ["processor", "image processor", "tokenizer", "configuration"])
    def test_a_part_by_itself(self, part, model, given):
        whole = SketchPromptProcessor.from_pretrained(WHOLE)
        parts = {
            "processor": (whole, "preprocessor_config.json"),
            "image processor": (whole.image_processor, "preprocessor_config.json"),
            "tokenizer": (whole.tokenizer, "tokenizer.json"),
            "configuration": (model.config, "config.json"),
        }
        pushed, file = parts[part]
        pushed.push_to_hub("me/part")
        assert file in given["me/part"].files()

    @pytest.mark.parametrize("saved", ["processor", "image processor"])
    def test_save_pretrained_of_a_processor_pushes_too(self, saved, model, given, tmp_path):
        whole = SketchPromptProcessor.from_pretrained(WHOLE)
        pushed = whole if saved == "processor" else whole.image_processor
        pushed.save_pretrained(tmp_path / "part", push_to_hub=True, repo_id="me/part", private=True)
        assert given["me/part"].private and "preprocessor_config.json" in given["me/part"].files()

    def test_a_folder_that_was_saved_by_huggingface_hub(self, model, given, folders, tmp_path):
        model.save_pretrained(tmp_path / "saved")
        api = HfApi(token=TOKEN)
        api.create_repo("me/mine")
        api.upload_folder(repo_id="me/mine", folder_path=tmp_path / "saved")
        assert same(AutoModel.from_pretrained("me/mine"), folders.model)

    @pytest.mark.parametrize(
        "name, token, error, message",
        [
            ("you/mine", TOKEN, PermissionError, "this token may not write to you/mine: log in"),
            ("me/mine", STRANGER, PermissionError, "this token may not write to me/mine: log in"),
            ("me/mine", "hf_wrong", PermissionError, "or the token is wrong: log in"),
            ("a b", TOKEN, ValueError, "cannot be a repository's id: give owner/name"),
        ],
    )
    def test_where_one_may_not(self, name, token, error, message, model, given):
        with pytest.raises(error, match=message):
            model.push_to_hub(name, token=token)

    def test_without_a_token(self, model, given, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "")
        with pytest.raises(PermissionError, match="there is no token for pushing to"):
            model.push_to_hub("me/mine")

    def test_offline(self, model, given, monkeypatch):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(ConnectionError, match="offline"):
            model.push_to_hub("me/mine")

    @pytest.mark.parametrize("fault", ["503", "close"])
    def test_when_the_hub_fails(self, fault, model, given, monkeypatch):
        monkeypatch.setattr("time.sleep", lambda _: None)
        given.fail("/commit/", fault, times=99)
        with pytest.raises(ConnectionError, match=r"try again later|push again"):
            model.push_to_hub("me/mine")

    @pytest.mark.parametrize("keyword", ["branch", "allow_patterns", "model_card_kwargs", "use_temp_dir"])
    def test_keywords_of_other_push_to_hubs_are_named(self, keyword, model, given):
        with pytest.raises(TypeError, match=f"no argument '{keyword}'"):
            model.push_to_hub("me/mine", **{keyword: None})
        assert "me/mine" not in given


class TestKeywordsOfSaving:
    @pytest.mark.parametrize(
        "options",
        [
            {"is_main_process": True},
            {"save_function": torch.save},
            {"safe_serialization": True},
            {"save_peft_format": False},
            {"max_shard_size": 10**9},
            {"max_shard_size": "5GB"},
            {"token": TOKEN},
            {"variant": None},
            {"state_dict": None},
        ],
        ids=without_addresses,
    )
    def test_are_taken(self, options, model, folders, tmp_path):
        model.save_pretrained(tmp_path, **options)
        assert same(SketchPromptModel.from_pretrained(tmp_path), folders.model)

    def test_a_state_dict_is_what_is_saved(self, model, tmp_path):
        name = next(name for name in model.state_dict() if "sketch_prompts" in name)
        model.save_pretrained(tmp_path, state_dict={name: model.state_dict()[name] + 1})
        saved = SketchPromptModel.from_pretrained(tmp_path).state_dict()
        assert torch.equal(saved[name], model.state_dict()[name] + 1)

    def test_only_the_main_process_writes(self, model, tmp_path):
        model.save_pretrained(tmp_path / "none", is_main_process=False)
        assert not (tmp_path / "none").exists()

    def test_a_variant(self, model, folders, tmp_path):
        model.save_pretrained(tmp_path, variant="fp16")
        assert same(SketchPromptModel.from_pretrained(tmp_path, variant="fp16"), folders.model)


class TestHubClient:
    def test_hf_hub_download(self, model, given):
        model.push_to_hub("me/mine")
        assert os.path.getsize(hf_hub_download("me/mine", "adapter_model.safetensors"))

    def test_snapshot_download_into_a_folder(self, model, given, folders, tmp_path):
        model.push_to_hub("me/mine")
        snapshot_download("me/mine", local_dir=tmp_path / "copy")
        assert same(SketchPromptModel.from_pretrained(tmp_path / "copy"), folders.model)

    @pytest.mark.parametrize("kind", ["tag", "branch", "commit"])
    def test_a_revision_stays_what_it_was(self, kind, model, given, folders):
        commit = model.push_to_hub("me/mine").oid
        api = HfApi(token=TOKEN)
        if kind in ("tag", "branch"):
            getattr(api, f"create_{kind}")("me/mine", **{kind: "v1"})
        given["me/mine"].add({"config.json": b"{}"})
        revision = commit if kind == "commit" else "v1"
        assert same(SketchPromptModel.from_pretrained("me/mine", revision=revision), folders.model)
        assert same(AutoModel.from_pretrained("me/mine", revision=revision), folders.model)

    def test_model_info(self, model, given):
        model.push_to_hub("me/mine", tags=["shoes"])
        info = HfApi(token=TOKEN).model_info("me/mine")
        assert info.pipeline_tag == "image-feature-extraction" and info.library_name == "sketch-prompt"
        assert {"sketch-based-image-retrieval", "clip-at", "shoes"} <= set(info.tags)
        assert info.card_data.base_model == BASE
        assert {file.rfilename for file in info.siblings} >= {"config.json", "README.md"}

    def test_listing_and_file_system(self, model, given):
        model.push_to_hub("me/mine")
        files = HfApi(token=TOKEN).list_repo_files("me/mine")
        system = HfFileSystem(token=TOKEN, skip_instance_cache=True)
        assert {name.rpartition("/")[2] for name in system.ls("me/mine", detail=False)} == set(files)
        assert b"clip-at" in system.read_bytes("me/mine/config.json")

    def test_file_exists(self, model, given):
        model.push_to_hub("me/mine")
        assert HfApi(token=TOKEN).file_exists("me/mine", "README.md")
        assert not HfApi(token=TOKEN).file_exists("me/mine", "adapter_config.json")

    @pytest.mark.parametrize("what", ["loads", "validates", "base_model", "results", "text"])
    def test_the_card(self, what, model, given):
        model.push_to_hub("me/mine")
        card = ModelCard.load("me/mine")
        if what == "validates":
            card.validate()
        elif what == "base_model":
            data = card.data.to_dict()
            assert (data["base_model"], data["base_model_relation"]) == (BASE, "adapter")
        elif what == "results":
            (result,) = card.data.eval_results
            assert (result.dataset_type, result.metric_type, result.metric_value) == ("mini", "mAP@all", 50)
        elif what == "text":
            assert 'from_pretrained("me/mine")' in card.text and "pip install sketch-prompt" in card.text

    def test_metadata_update_keeps_the_card(self, model, given):
        model.push_to_hub("me/mine")
        metadata_update("me/mine", {"tags": ["changed"]}, overwrite=True, token=TOKEN)
        card = ModelCard.load("me/mine")
        assert "changed" in card.data.tags and card.data.eval_results


@pytest.fixture
def trainer(model, given, tmp_path):
    """Makes transformers' Trainer for two steps on the model."""

    def make(**options):
        options = {"save_steps": 1, "max_steps": 2, "per_device_train_batch_size": 2} | options
        arguments = TrainingArguments(
            str(tmp_path / "run"), report_to=[], use_cpu=True, disable_tqdm=True, **options
        )
        triplets = Triplets()
        return Trainer(
            model, arguments, train_dataset=triplets, eval_dataset=triplets, processing_class=model.processor
        )

    return make


class TestTrainer:
    @pytest.mark.parametrize("strategy", ["end", "every_save", "checkpoint", "all_checkpoints"])
    def test_pushes_by_its_strategy(self, strategy, trainer, given, model):
        running = trainer(push_to_hub=True, hub_strategy=strategy, hub_model_id="me/run")
        running.train()
        running.push_to_hub()
        again = SketchPromptModel.from_pretrained("me/run")
        assert same(again, model.eval()) and again.processor.tokenizer is not None

    def test_saves_what_loads(self, trainer, model, tmp_path):
        running = trainer()
        running.train()
        running.save_model(str(tmp_path / "saved"))
        assert same(SketchPromptModel.from_pretrained(tmp_path / "saved"), model.eval())
        assert same(SketchPromptModel.from_pretrained(tmp_path / "run" / "checkpoint-2"), model.eval())

    # Trainer puts back weights only of peft's own class, or of a file with all of them, which an adapter's checkpoint
    # has not; it says so, and `load_adapter` does it. `sketch-prompt train` resumes bit for bit.

    @pytest.mark.parametrize("with_clip", [False, True])
    def test_resuming_is_refused_and_not_done_by_half(self, with_clip, trainer, model):
        if with_clip:
            model.config.base_model = None
        trainer().train()
        with pytest.raises(
            ValueError, match=r"Can't find a checkpoint index|only the tensors of the frozen CLIP"
        ):
            trainer(max_steps=3).train(resume_from_checkpoint=True)

    def test_the_best_model_is_loaded_by_its_folder(self, trainer, model):
        running = trainer(
            eval_strategy="steps", eval_steps=1, metric_for_best_model="loss", prediction_loss_only=True
        )
        running.train()
        best = running.state.best_model_checkpoint
        model.load_adapter(best, "best")
        assert same(SketchPromptModel.from_pretrained(best), model.eval())

    @pytest.mark.parametrize(
        "options", [{"gradient_accumulation_steps": 2}, {"save_total_limit": 1}], ids=without_addresses
    )
    def test_with_an_option(self, options, trainer):
        assert trainer(**options).train().global_step == 2


class TestGalleries:
    @pytest.mark.parametrize(
        "options",
        [{}, {"private": True}, {"revision": "v1"}, {"create_pr": True}, {"include_photos": True}],
        ids=without_addresses,
    )
    def test_pushed_and_loaded(self, options, given, tmp_path):
        photos = write_photos(tmp_path / "photos", {"cat": 2, "dog": 2})
        gallery = Gallery.build(make_model(), photos, progress=False)
        commit = gallery.push_to_hub("me/photos", **options)
        revision = commit.pr_revision or options.get("revision") or "main"
        again = Gallery.from_hub("me/photos", make_model(), revision=revision)
        ours, theirs = gallery.search(picture(3), 2), again.search(picture(3), 2)
        assert [(hit.id, hit.score) for hit in ours] == [(hit.id, hit.score) for hit in theirs]

    @pytest.mark.parametrize("streaming", [False, True])
    def test_as_a_data_set(self, streaming, given, tmp_path):
        photos = write_photos(tmp_path / "photos", {"cat": 2})
        Gallery.build(make_model(), photos, progress=False).push_to_hub("me/photos", include_photos=True)
        table = datasets.load_dataset("me/photos", split="train", streaming=streaming)
        row = next(iter(table))
        assert isinstance(row["image"], Image.Image) and {"path", "features", "category"} <= row.keys()

    def test_the_card(self, given, tmp_path):
        photos = write_photos(tmp_path / "photos", {"cat": 2})
        Gallery.build(make_model(), photos, progress=False).push_to_hub("me/photos", license="mit")
        card = DatasetCard.load("me/photos")
        card.validate(repo_type="dataset")
        assert card.data.license == "mit" and "me/photos" in card.text


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A user's own folder of pictures as a benchmark."""
    root = tmp_path_factory.mktemp("pictures")
    for number, name in enumerate(("cat", "cup", "tree")):
        for domain in ("photo", "sketch"):
            (root / domain / name).mkdir(parents=True)
            Image.new("RGB", (20, 16), (80 * number, 90, 50)).save(root / domain / name / "0.png")
    (root / "split.yaml").write_text("seen: [cat, cup]\nunseen: [tree]\n")
    return load_benchmark("sketch-folder", root, cache_dir=tmp_path_factory.mktemp("cache"))


class TestDataSets:
    @pytest.mark.parametrize(
        "options", [{}, {"private": True}, {"revision": "v1"}, {"create_pr": True}], ids=without_addresses
    )
    def test_pushed_and_loaded(self, options, given, tables):
        commit = push_benchmark(tables, "me/pets", **options)
        revision = commit.pr_revision or options.get("revision")
        again = load_benchmark("me/pets", revision=revision)
        assert {split: len(table) for split, table in again.items()} == {
            split: len(table) for split, table in tables.items()
        }

    @pytest.mark.parametrize("reader", ["datasets", "datasets streamed", "ours streamed", "one split"])
    def test_read_by(self, reader, given, tables):
        push_benchmark(tables, "me/pets")
        if reader == "ours streamed":
            table = load_benchmark("me/pets", streaming=True)["test_photo"]
        elif reader == "one split":
            table = datasets.load_dataset("me/pets", split="test_photo")
        else:
            table = datasets.load_dataset("me/pets", streaming="streamed" in reader)["test_photo"]
        row = next(iter(table))
        assert row["image"].size == (20, 16) and row["label"] == 2

    def test_known_to_the_viewer_before_a_file_is_read(self, given, tables):
        push_benchmark(tables, "me/pets", license="cc-by-4.0")
        builder = datasets.load_dataset_builder("me/pets")
        assert builder.info.features["label"].names == ["cat", "cup", "tree"]
        assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
            name: len(table) for name, table in tables.items()
        }
        assert builder.info.dataset_size > 0 and builder.info.download_size == sum(
            len(content)
            for name, content in given["datasets/me/pets"].files().items()
            if name.endswith("parquet")
        )
        assert not given.asked(r"storage|resolve/.*parquet")

    @pytest.mark.parametrize(
        "name, options", [("mini", {"instances_per_class": 2}), ("quickdraw-caltech", {})]
    )
    def test_a_bundled_benchmark(self, name, options, given, tmp_path):
        tables = load_benchmark(name, cache_dir=tmp_path, **options)
        push_benchmark(tables, f"me/{name}", level=default_level(name))
        builder = datasets.load_dataset_builder(f"me/{name}")
        assert {split: info.num_examples for split, info in builder.info.splits.items()} == {
            split: len(table) for split, table in tables.items()
        }
        streamed = load_benchmark(f"me/{name}", streaming=True)
        for split, table in tables.items():
            ours, theirs = table[0], next(iter(streamed[split]))
            assert ours.pop("image").tobytes() == theirs.pop("image").tobytes() and ours == theirs
        DatasetCard.load(f"me/{name}").validate(repo_type="dataset")

    def test_the_card(self, given, tables):
        push_benchmark(tables, "me/pets", license="cc-by-4.0")
        card = DatasetCard.load("me/pets")
        card.validate(repo_type="dataset")
        assert card.data.license == "cc-by-4.0" and 'load_benchmark("me/pets")' in card.text


class TestMetricsAndSpaces:
    @pytest.mark.parametrize("name", METRICS)
    def test_a_metric_by_evaluate_load(self, name, given):
        push_metric(name, f"me/{name}")
        assert evaluate.load(f"me/{name}").description == load_metric(name).description

    @pytest.mark.parametrize("name", METRICS)
    def test_a_metric_is_a_space_that_runs(self, name, given):
        push_metric(name, f"me/{name}")
        files = given[f"spaces/me/{name}"].files()
        assert f'evaluate.load("me/{name}")' in files["app.py"].decode()
        assert "sketch-prompt" in files["requirements.txt"].decode()
