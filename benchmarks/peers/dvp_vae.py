"""How fast the published PyTorch DVP-VAE trains on this machine, by its own training loop.

python benchmarks/peers/dvp_vae.py --repo=DIR [--experiment=mnist|cifar] [--mnist=DIR]
    [--device=cuda] [--steps=N] [--rounds=N]

--repo is a clone of github.com/AKuzina/dvp_vae; its packages (torch, torchvision, torchmetrics,
hydra-core, tqdm, matplotlib, scipy, six) make an environment of their own. Two rates: of steps
whose images already lie on the device, and with --mnist (a folder of the four .gz files) of an
epoch of its own loader. Nothing is logged to Weights & Biases: a stand-in takes the calls.
"""

import argparse
import importlib.machinery
import json
import pathlib
import platform
import shutil
import statistics
import sys
import tempfile
import time
import types


def parsed():
    """The flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repo", required=True, type=pathlib.Path)
    parser.add_argument("--experiment", choices=("mnist", "cifar"), default="mnist")
    parser.add_argument("--mnist", type=pathlib.Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def program(repo: pathlib.Path, experiment: str, device: str):
    """(its settings, its `run_experiment` module), without Weights & Biases."""
    stand_in = types.ModuleType("wandb")
    stand_in.__spec__ = importlib.machinery.ModuleSpec("wandb", None)  # other packages look for it
    stand_in.log = stand_in.Api = lambda *_, **__: None
    sys.modules["wandb"] = stand_in
    sys.path.insert(0, str(repo))
    import hydra
    import run_experiment

    with hydra.initialize_config_dir(str(repo.resolve() / "configs"), version_base="1.2"):
        settings = hydra.compose("defaults.yaml", [f"experiment={experiment}/dvp_vae"])
    settings.train.device = device
    return run_experiment.compute_z_L_size(settings), run_experiment


def data(settings, folder: pathlib.Path, root: pathlib.Path, scale_of: int = 2000):
    """Its loaders of real MNIST; `root` gets torchvision's copy.

    Its own `calculate_dct`, one image a batch, takes minutes for the scale of the coefficients;
    here it is that of the first `scale_of` images at once (the program's: 50,001).
    """
    import torch

    def dct(self):
        return self.dct.dct2(torch.stack([self.base_dataset[i][0] for i in range(scale_of)]))

    import datasets.dct
    from hydra.utils import instantiate

    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in sorted(folder.rglob("*-ubyte.gz")):
        shutil.copy(file, raw)
    datasets.dct.DCT_dataset.calculate_dct = dct
    module = instantiate(
        settings.dataset.data_module, root=str(root), ctx_size=settings.model.ctx_size
    )
    module.setup("fit")
    return module


def main():
    """Prints one JSON line."""
    flags = parsed()
    settings, experiment = program(flags.repo, flags.experiment, flags.device)
    import torch
    from hydra.utils import instantiate

    on_gpu = flags.device.startswith("cuda")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True  # as it does
    torch.manual_seed(settings.train.seed)
    model, average = instantiate(settings.model), instantiate(settings.model)
    average.load_state_dict(model.state_dict())
    average.requires_grad_(False)
    optimizer = instantiate(settings.train.optimizer, params=model.parameters())
    model.to(flags.device)
    average.to(flags.device)
    size = settings.dataset.data_module.batch_size

    def epoch(batches) -> float:
        start = time.perf_counter()
        experiment.trainer.run_epoch(settings.train, 0, model, batches, optimizer, "train", average)
        if on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter() - start

    shape, code = settings.dataset.image_size, settings.model.ctx_size
    images = (torch.rand(size, *shape) > 0.5) * 2.0 - 1.0
    batch = [images, torch.zeros(size), torch.rand(size, shape[0], code, code)]
    batch = [part.to(flags.device) for part in batch]
    epoch([batch] * 3)
    seconds = [epoch([list(batch) for _ in range(flags.steps)]) for _ in range(flags.rounds)]
    median = statistics.median(seconds) / flags.steps
    results = {
        "experiment": flags.experiment,
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "batch_size": size,
        "ms_per_step": round(1e3 * median, 3),
        "ms_per_step_of_rounds": [round(1e3 * s / flags.steps, 3) for s in seconds],
    }
    if on_gpu:
        results["mib"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    if flags.mnist:
        with tempfile.TemporaryDirectory() as root:
            batches = data(settings, flags.mnist, pathlib.Path(root)).train_dataloader()
            results["epoch_seconds"] = round(epoch(batches), 2)
            results["epoch_steps"] = len(batches)
    machine = {
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    print(json.dumps({"benchmark": "peers/dvp_vae", **results, "machine": machine}))


if __name__ == "__main__":
    main()
