"""Where measurements go: events are read back, and a package that only notes what it is given."""

import itertools
import json
import pathlib
import resource
import shutil
import struct
import sys
import time
import types

import numpy as np
import pytest
from PIL import Image

from vdp.errors import UserError
from vdp.runtime import wandb_sink
from vdp.runtime.metric_log import Metrics, read_metrics
from vdp.runtime.sinks import TensorBoard


def events(folder):
    """[(step, tag, kind of value, the value)] of all event files, by their framing of records."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (length,) = struct.unpack_from("<Q", content, place)
            event = Event.FromString(content[place + 12 : place + 12 + length])
            for value in event.summary.value:
                kind = value.WhichOneof("value")
                found.append((event.step, value.tag, kind, getattr(value, kind)))
            place += 12 + length + 4
    return found


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "samples" / "step-7.png"
    path.parent.mkdir()
    Image.fromarray(np.full((3, 5, 3), 90, np.uint8)).save(path)
    return path


def test_tensorboard_gets_numbers_distributions_and_pictures(tmp_path, picture):
    metrics = Metrics(tmp_path)
    metrics.write(7, {"eval/elbo": -2.0, "eval/bad": float("nan")})
    metrics.histogram(7, "eval/rate_z", np.array([1.0, 3.0, np.inf]))
    metrics.histogram(7, "eval/none", np.array([np.nan]))
    metrics.pictures(7, [picture])
    metrics.close()
    found = {
        tag: (step, kind, value) for step, tag, kind, value in events(tmp_path / "tensorboard")
    }
    assert set(found) == {"eval/elbo", "eval/rate_z", "eval/samples"}
    assert found["eval/elbo"] == (7, "simple_value", -2.0)
    assert (found["eval/rate_z"][2].num, found["eval/rate_z"][2].sum) == (2, 4.0)
    image = found["eval/samples"][2]
    assert (image.height, image.width) == (3, 5)
    assert read_metrics(metrics.path) == [{"step": 7, "eval/elbo": -2.0, "eval/bad": None}]


def test_a_disk_that_is_full_is_said_and_not_waited_for(tmp_path):
    """A limit on the size of a file stands for the disk."""
    events = TensorBoard(tmp_path, -1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            list(map(events.scalars, range(1000), itertools.repeat({"train/loss": 1.0})))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    events.close()


def test_a_run_shows_its_pictures_and_rates(smoke_run):
    found = events(smoke_run / "tensorboard")
    kinds = {(tag, kind) for _, tag, kind, _ in found}
    assert {("eval/samples", "image"), ("eval/rate_z", "histo")} <= kinds
    assert ("train/update_norm", "simple_value") in kinds
    assert sorted(step for step, tag, *_ in found if tag == "eval/samples") == [10, 20]


class Noted(types.ModuleType):
    """Stands for the package: notes what `init` and the run are given."""

    def __init__(self):
        super().__init__("wandb")
        self.starts, self.logged, self.finished = [], [], 0
        self.Settings, self.Image = dict, lambda path: ("picture", path)
        self.Histogram = lambda np_histogram: ("histogram", int(np_histogram[0].sum()))

    def init(self, **how):
        self.starts.append(how)
        return self

    def log(self, values, *, step):
        self.logged.append((step, values))

    def finish(self):
        self.finished += 1


@pytest.fixture
def noted(monkeypatch):
    package = Noted()
    monkeypatch.setitem(sys.modules, "wandb", package)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return package


def test_wandb_gets_numbers_with_steps_pictures_and_the_config(tmp_path, picture, noted):
    config = {"train": {"steps": 5}}
    sinks = wandb_sink.asked(tmp_path, "offline", config)
    metrics = Metrics(tmp_path, tensorboard=False, others=sinks)
    metrics.write(7, {"train/elbo": -2.0, "train/bad": float("inf")})
    metrics.histogram(7, "eval/rate_z", np.arange(5.0))
    metrics.pictures(7, [picture])
    assert noted.finished == 0
    metrics.close()
    assert noted.finished == 1
    assert noted.logged == [
        (7, {"train/elbo": -2.0}),
        (7, {"eval/rate_z": ("histogram", 5)}),
        (7, {"eval/samples": ("picture", str(picture))}),
    ]
    (how,) = noted.starts
    assert how["config"] == config
    assert (how["mode"], how["resume"], how["project"]) == ("offline", "allow", "vdp")
    assert pathlib.Path(how["dir"]) == tmp_path


def test_a_run_that_goes_on_is_the_same_one_there(tmp_path, noted):
    for _ in range(2):
        wandb_sink.asked(tmp_path, "online", {})
    first, second = (how["id"] for how in noted.starts)
    assert first == second == json.loads((tmp_path / "wandb.json").read_text())["id"]
    (tmp_path / "wandb.json").write_text('{"id": "../a"}')
    wandb_sink.asked(tmp_path, "online", {})
    assert noted.starts[2]["id"] not in (first, "../a")
    assert wandb_sink.asked(tmp_path, "off", {}) == []


def test_a_copied_folder_is_a_run_of_its_own_there_and_a_moved_one_is_not(tmp_path, noted):
    first, copied, moved = (tmp_path / name for name in ("first", "copied", "moved"))
    first.mkdir()
    wandb_sink.asked(first, "online", {})
    shutil.copytree(first, copied)
    for folder in (copied, copied, first):
        wandb_sink.asked(folder, "online", {})
    first.rename(moved)
    wandb_sink.asked(moved, "online", {})
    ids = [how["id"] for how in noted.starts]
    assert ids == [ids[0], ids[1], ids[1], ids[0], ids[0]]
    assert ids[0] != ids[1]
    old = {"id": "abc"}  # of a version that did not keep the folder
    (moved / "wandb.json").write_text(json.dumps(old))
    wandb_sink.asked(moved, "online", {})
    assert noted.starts[-1]["id"] == "abc"


def test_no_training_ends_because_it_is_watched(tmp_path, noted, monkeypatch):
    said = []
    (sink,) = wandb_sink.asked(tmp_path, "online", {}, said.append)

    def log(values, *, step):
        raise BrokenPipeError("the service is gone")

    monkeypatch.setattr(noted, "log", log)
    for step in (1, 2):
        sink.scalars(step, {"train/elbo": 1.0})
    sink.close()
    (line,) = said
    assert "BrokenPipeError: the service is gone" in line


def test_what_cannot_start_is_said_before_anything_is_trained(
    refused, tmp_path, noted, monkeypatch
):
    def init(**how):
        raise RuntimeError("api_key not configured")

    monkeypatch.setattr(noted, "init", init)
    with pytest.raises(UserError, match=r"api_key not configured.*wandb login"):
        wandb_sink.asked(tmp_path, "online", {})
    monkeypatch.setitem(sys.modules, "wandb", None)
    refused("--config=digits_vae:smoke", "--config.log.wandb=offline", f"--workdir={tmp_path}/new",
            says=["pip install wandb", "--config.log.wandb=off"])  # fmt: skip
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_the_package_itself_keeps_a_run_offline(tmp_path, picture):
    pytest.importorskip("wandb")
    for step in (7, 8):
        (sink,) = wandb_sink.asked(tmp_path, "offline", {"train": {"steps": 987654}})
        sink.scalars(step, {"train/elbo": -2.0})
        sink.histogram(step, "eval/rate_z", np.ones(4))
        sink.picture(step, "eval/samples", picture)
        sink.close()
    name = json.loads((tmp_path / "wandb.json").read_text())["id"]
    written = sorted((tmp_path / "wandb").glob(f"offline-run-*-{name}/run-{name}.wandb"))
    assert written
    words = b"train/elbo", b"rate_z", b"987654"  # records are not compressed
    deadline = time.time() + 60  # a process of the package's own writes them
    while not all(word in path.read_bytes() for path in written for word in words):
        assert time.time() < deadline
        time.sleep(0.1)
    pictures = (tmp_path / "wandb").glob("offline-*/files/media/images/eval/samples_*.png")
    assert sorted(path.name[:9] for path in pictures) == ["samples_7", "samples_8"]
