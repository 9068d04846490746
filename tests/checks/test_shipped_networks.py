"""Every flat network that is shipped keeps the laws of a network."""

import pytest

from vdp import nets
from vdp.checks import check_network

# (fields, shape of an input, of an output or None for a denoiser), as small as they go
NETWORKS = {
    "MLP": (dict(width=4, depth=1), (4, 4, 1), (2, 3)),
    "FeedForward": (dict(widths=(4,)), (4, 4, 1), (2, 3)),
    "MLPDenoiser": (dict(width=4, depth=1), (3,), None),
    "ConvEncoder": (dict(channels=(4,), hidden=4), (4, 4, 1), (2, 3)),
    "ConvDecoder": (dict(channels=(4,), hidden=4), (3,), (4, 4, 1)),
    "DCGANEncoder": (dict(channels=(4, 4)), (4, 4, 1), (2, 3)),
    "DCGANDecoder": (dict(channels=(4, 4)), (3,), (4, 4, 1)),
    "UNetDenoiser": (dict(width=4, depth=1), (4, 4, 1), None),
}
# called otherwise: by a flow, a trajectory, a hierarchy
OTHERS = {"MADE", "ConditionalMADE", "CausalTransformer", "LadderDecoder", "LadderEncoder"}
SLOW = ("DCGANEncoder", "DCGANDecoder", "UNetDenoiser", "ConvEncoder", "ConvDecoder")


def test_every_network_is_under_these_laws():
    assert NETWORKS.keys() | OTHERS == set(nets.__all__)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else []) for n in NETWORKS]
)
def test_the_laws(name):
    fields, in_shape, out_shape = NETWORKS[name]
    report = check_network(getattr(nets, name)(**fields), in_shape, out_shape, name=name)
    assert all(law.held for law in report.laws), report
