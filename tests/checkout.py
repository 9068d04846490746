"""Where the checkout lies whose tests run."""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
