"""Fills in jobset.yaml and prints it: what `kubectl apply -f -` reads."""

import argparse
import pathlib
import re
import sys

from vdp import main
from vdp.errors import Parser, UserError, whole_number

TEMPLATE = pathlib.Path(__file__).with_name("jobset.yaml")
NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")  # pods get 19 more characters of 63
EPILOG = """\
all other arguments are passed on to vdp.main in each pod; relative paths, and so the default
workdir, are on the volume.

example:
  python -m launch.jobset --name=dvp --image=IMAGE --processes=4 --claim=CLAIM \\
      --limit=nvidia.com/gpu=8 --config=cifar10_dvp --config.eval.batch_size=256 \\
      | kubectl apply -f -
"""


def parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Returns (flags, arguments of vdp.main)."""
    parser = Parser(prog="python -m launch.jobset", description=__doc__, epilog=EPILOG)
    parser.add_argument("--name", required=True, help="the JobSet's")
    parser.add_argument("--image", required=True, help="whose python has vdp")
    parser.add_argument("--processes", required=True, type=whole_number, help="how many pods")
    parser.add_argument("--claim", required=True, help="of a volume that all pods can write")
    for name, help_text in (
        ("limit", "of each pod, as nvidia.com/gpu=8; repeated"),
        ("select", "nodes by a label; repeated"),
    ):
        parser.add_argument(f"--{name}", action="append", default=[], metavar="KEY=VALUE",
                            help=help_text)  # fmt: skip
    flags, passed_on = parser.parse_known_args(argv)
    if not NAME.fullmatch(flags.name):
        raise UserError(
            f"--name={flags.name} must be up to 40 small letters, digits and -, a letter first"
        )
    if flags.processes < 1:
        raise UserError(f"--processes={flags.processes} must be at least 1")
    main.parse(passed_on)
    return flags, passed_on


def fill(template: dict, flags: argparse.Namespace, passed_on: list[str]) -> dict:
    """Writes what was asked for into the manifest, and returns it."""
    template["metadata"]["name"] = flags.name
    job = template["spec"]["replicatedJobs"][0]["template"]["spec"]
    job["completions"] = job["parallelism"] = flags.processes
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    args = [text.replace("$", "$$") for text in passed_on]  # else $(NAME) would be filled in
    container |= {"image": flags.image, "args": args}
    (count,) = (entry for entry in container["env"] if entry["name"] == "JAX_NUM_PROCESSES")
    count["value"] = str(flags.processes)
    (volume,) = pod["volumes"]
    volume["persistentVolumeClaim"]["claimName"] = flags.claim
    if flags.limit:
        container["resources"] = {"limits": _pairs("limit", flags.limit)}
    if flags.select:
        pod["nodeSelector"] = _pairs("select", flags.select)
    return template


def _pairs(flag: str, texts: list[str]) -> dict[str, str]:
    pairs = dict(text.partition("=")[::2] for text in texts)
    if not all(key and value for key, value in pairs.items()):
        raise UserError(f"--{flag} needs the form KEY=VALUE")
    return pairs


def run(argv: list[str]) -> int:
    """Runs the command line and returns the exit code."""
    try:
        flags, passed_on = parse(argv)
        import yaml  # of ml_collections

        manifest = fill(yaml.safe_load(TEMPLATE.read_text()), flags, passed_on)
        print(yaml.safe_dump(manifest, sort_keys=False), end="")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except SystemExit as stop:  # argparse's --help
        return int(stop.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
