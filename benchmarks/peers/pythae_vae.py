"""A VAE or a VampPrior of pythae, trained and evaluated by its own code, for so many seconds.

python benchmarks/peers/pythae_vae.py --images=FILE --out=FILE [--model=vae|vamp] [--seconds=900]
    [--latent=32] [--components=500] [--seed=0] [--samples=500] [--num=0]

--images is of `python -m benchmarks.peers.images`; pythae 0.1.2 has an environment of its own. Its
default networks (one layer of 512), its trainer with Adam at 1e-3 and batches of 100, training
images binarised anew whenever they are read, the best epoch by validation images. The second and
third of three epochs are timed first, and as many are trained as fit in --seconds. --out gets the
estimates of its `get_nll`, an importance-weighted bound of --samples draws, over the first --num
test images (0: all).
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time

import numpy as np
import torch
from pythae.data.datasets import BaseDataset, DatasetOutput
from pythae.models import VAE, VAMP, VAEConfig, VAMPConfig
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback

RATE, BATCH = 1e-3, 100


class Binarised(BaseDataset):
    """Grey images, of which every look is another Bernoulli draw."""

    def __getitem__(self, index):
        """The drawn image at an index."""
        return DatasetOutput(data=torch.bernoulli(self.data[index]), labels=self.labels[index])


class Ends(TrainingCallback):
    """When each epoch ended."""

    def __init__(self):
        self.times = []

    def on_epoch_end(self, training_config, **kwargs):
        """Notes the time."""
        self.times.append(time.perf_counter())


def parsed():
    """The flags."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--images", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--model", choices=("vae", "vamp"), default="vae")
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--latent", type=int, default=32)
    parser.add_argument("--components", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--num", type=int, default=0)
    return parser.parse_args()


def made(flags, shape):
    """The untrained model."""
    torch.manual_seed(flags.seed)
    common = dict(input_dim=shape, latent_dim=flags.latent, reconstruction_loss="bce")
    if flags.model == "vae":
        return VAE(VAEConfig(**common))
    return VAMP(VAMPConfig(**common, number_components=flags.components))


def trained(flags, train, validation, epochs):
    """(the best model of so many epochs, seconds of its trainer, when each epoch ended)."""
    ends = Ends()
    model = made(flags, tuple(train.data.shape[1:]))
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder, num_epochs=epochs, learning_rate=RATE, seed=flags.seed, no_cuda=True,
            per_device_train_batch_size=BATCH, per_device_eval_batch_size=BATCH,
        )  # fmt: skip
        trainer = BaseTrainer(
            model=model,
            train_dataset=train,
            eval_dataset=validation,
            training_config=config,
            callbacks=[ends],
        )
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
        best = type(model).load_from_folder(str(next(pathlib.Path(folder).rglob("final_model"))))
    return best.eval(), seconds, ends.times


def main():
    """Trains, evaluates, and writes the numbers."""
    flags = parsed()
    with np.load(flags.images) as archive:
        grey = archive["train"].astype(np.float32) / (int(archive["levels"]) - 1)
        parts = [grey, archive["validation"], archive["test"]]
    if max(part.max() for part in parts) > 1:
        sys.exit(f"error: the test images of {flags.images} are not binarised")
    as_tensor = lambda images: torch.from_numpy(np.moveaxis(images, -1, 1).astype(np.float32))
    train, validation, test = map(as_tensor, parts)
    train = Binarised(train, torch.zeros(len(train)))
    validation = BaseDataset(validation, torch.zeros(len(validation)))
    *_, (first, _, third) = trained(flags, train, validation, 3)
    epochs = max(int(flags.seconds / ((third - first) / 2)), 1)
    model, seconds, _ = trained(flags, train, validation, epochs)
    test = test[: flags.num or None]
    with torch.no_grad():
        of = lambda image: model.get_nll(image[None], flags.samples, flags.samples)
        estimates = np.array([of(image) for image in test])
    mean, error = estimates.mean(), estimates.std(ddof=1) / len(estimates) ** 0.5
    components = f", {flags.components} components" if flags.model == "vamp" else ""
    result = {
        "program": "pythae",
        "model": f"{type(model).__name__}, {flags.latent} latents{components}",
        "seed": flags.seed,
        "epochs": epochs,
        "seconds": seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
        "of": f"K={flags.samples}",
        "images": len(test),
        "nats": float(mean),
        "se": float(error),
    }
    flags.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
