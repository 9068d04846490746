"""A run in one line, as Python shows it."""

from vdp.settings import Settings
from vdp.training import state
from vdp.types import Params


def line(trained: Settings, params: Params, step: int) -> str:
    """As "Run(vae with prior vdm, trained on digits: step 2,000, 93,268 parameters)".

    Args:
      trained: the settings the run was trained with.
      params: by role.
      step: of the checkpoint.
    """
    prior = (trained.model.get("prior") or {}).get("name")
    model = trained.model["name"] + (f" with prior {prior}" if prior else "")
    count = state.count_parameters(params)["total"]
    of = f"{model}, trained on {trained.data.name}"
    return f"Run({of}: step {step:,}, {count:,} parameters)"
