"""Joint, detached and two-stage training of one model, side by side in one table.

python -m benchmarks.training_modes [--config=digits_dcgan] [--prior=vdm] [--seeds=0,1]
    [--workdir=DIR] [--config.FIELD=VALUE ...]

Two stages: the autoencoder with the normal prior, then the prior alone on its frozen latents. Runs
that are finished are skipped; the table is launch.sweep's.
"""

from benchmarks import command
from launch import sweep
from vdp.errors import Parser


def main() -> int:
    """Runs what is missing and prints the table; returns the exit code."""
    parser = Parser(description=__doc__)
    parser.add_argument("--config", default="digits_dcgan")
    parser.add_argument("--prior", default="vdm")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--workdir", default="runs/training_modes")
    flags, passed_on = parser.parse_known_args()
    common = [f"--config={flags.config}", f"--workdir={flags.workdir}", *passed_on]
    learned, training = f"--grid=prior={flags.prior}", "--grid=training="
    steps = [
        [learned, f"{training}joint,detached", f"--seeds={flags.seeds}"],
        ["--grid=prior=normal", f"{training}joint", f"--seeds={flags.seeds}"],
    ]
    for seed in flags.seeds.split(","):
        first = f"{flags.workdir}/prior=normal,training=joint/seed-{seed}"
        frozen = f"--config.train.init_from={first}"
        steps.append([learned, f"{training}prior", f"--seeds={seed}", frozen])
    for step in steps:
        code = sweep.run([*common, *step])
        if code:
            return code
    return sweep.run([f"--workdir={flags.workdir}", "--table-only"])


if __name__ == "__main__":
    command.run(main)
