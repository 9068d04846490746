"""The published PyTorch DVP-VAE, trained by its own loop for so many seconds, as a file of weights.

python benchmarks/peers/dvp_train.py --repo=DIR --mnist=DIR --out=FILE.npz
    [--seconds=900] [--epochs=N] [--device=cpu] [--seed=123] [--average]

--repo and its packages are as of dvp_vae.py, --mnist is a folder of the four .gz files. Its MNIST
settings, loader, optimiser, warm-up and cosine by epochs, which --epochs makes shorter in
proportion; seconds are those of its training epochs, loading included, validation left out. --out
gets the state dict of the trained weights, with --average that of their average (0.999, not warmed
up: after few steps mostly the start). FILE.json says what was trained, and the program's own
validation loss of it: one random time for each of 5,000 images. `python -m
benchmarks.peers.dvp_run` makes a run of the weights.
"""

import argparse
import itertools
import json
import pathlib
import tempfile
import time

import dvp_vae
import numpy as np
import torch
from hydra.utils import instantiate


def parsed():
    """The flags."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--repo", required=True, type=pathlib.Path)
    parser.add_argument("--mnist", required=True, type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--epochs", type=int, help="of the cosine; the program's own: 300")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=123)
    parser.add_argument("--average", action="store_true")
    return parser.parse_args()


def trained(settings, run_epoch, loader, seconds):
    """(its model, the average of its weights, steps, seconds) after so many seconds or a few more.

    `run_epoch` gets one batch a call: it sums what it logs with the graphs of the gradients, 300 MB
    a step of this model on CPUs, and keeps them until it returns.
    """
    model, average = instantiate(settings.model), instantiate(settings.model)
    model.decoder.init_dct_normalization(loader)
    average.load_state_dict(model.state_dict())
    average.requires_grad_(False)
    model.to(settings.train.device)
    average.to(settings.train.device)
    optimizer = instantiate(settings.train.optimizer, params=model.parameters())
    scheduler = instantiate(settings.train.scheduler, optimizer=optimizer)
    start, steps = time.perf_counter(), 0
    for epoch in itertools.count():
        if epoch < settings.train.lr_warup_epochs:
            for group in optimizer.param_groups:
                share = (epoch + 1) / settings.train.lr_warup_epochs
                group["lr"] = settings.train.optimizer.lr * share
        for batch in loader:
            run_epoch(settings.train, epoch, model, [batch], optimizer, "train", average)
            steps, spent = steps + 1, time.perf_counter() - start
            if spent > seconds:
                return model, average, steps, spent
        scheduler.step()


def main():
    """Trains, and writes the weights and what was trained."""
    flags = parsed()
    settings, experiment = dvp_vae.program(flags.repo, "mnist", flags.device)
    settings.train.seed = flags.seed
    if flags.epochs:
        share = flags.epochs / settings.train.scheduler.T_max
        settings.train.lr_warup_epochs = round(share * settings.train.lr_warup_epochs)
        settings.train.scheduler.T_max = flags.epochs
    torch.manual_seed(flags.seed)
    with tempfile.TemporaryDirectory() as root:
        images = dvp_vae.data(settings, flags.mnist, pathlib.Path(root), scale_of=50_001)
        run_epoch, loader = experiment.trainer.run_epoch, images.train_dataloader()
        model, average, steps, seconds = trained(settings, run_epoch, loader, flags.seconds)
        kept = average if flags.average else model
        settings.train.eval_freq = 2  # no pictures of epoch 1
        with torch.no_grad():
            judged = run_epoch(settings.train, 1, kept, images.val_dataloader(), None, "val")
    leaves = {name: leaf.cpu().numpy() for name, leaf in kept.state_dict().items()}
    np.savez(flags.out, **leaves)
    seen = steps * settings.dataset.data_module.batch_size
    result = {
        "program": "dvp_vae",
        "model": ", ".join(
            ["mnist/dvp_vae"]
            + [f"cosine of {flags.epochs} epochs"] * bool(flags.epochs)
            + ["averaged"] * flags.average
        ),
        "seed": flags.seed,
        "epochs": round(seen / len(images.train), 1),
        "seconds": seconds,
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "steps": steps,
        "validation_loss": float(judged["val/loss"]),
        "torch": torch.__version__,
    }
    flags.out.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
