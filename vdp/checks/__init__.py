"""Laws that a prior, a likelihood or a network has to keep, tried on one from anywhere.

A number made by a component that breaks one of them is no bound. `--mode=check` runs them on the
components of a config, the tests of this package on those that are shipped.
"""

from vdp.checks.likelihoods import check_likelihood
from vdp.checks.networks import check_network
from vdp.checks.priors import check_prior
from vdp.checks.report import Law, Report

__all__ = ["Law", "Report", "check_likelihood", "check_network", "check_prior"]
