"""Network bodies: linen modules, arrays in, arrays out, named in configs by their class.

An encoder or decoder is called as `net(x, out_shape, train=False)` and returns float32
[B, *out_shape]; a denoiser as `net(y, time, train=False)` with time [B] in [0, 1000] and returns
float32 of y's shape; `MADE` is called as `net(z [B, D])`, `CausalTransformer` as
`net(tokens [B, N, T])`, `ConditionalMADE` as `net(e, y, time [B], train=False)` with e, y [B, D].
Shapes are arguments, never configuration. ROLES says under which field of a config each may stand.
"""

from vdp.nets.causal_transformer import CausalTransformer
from vdp.nets.conv import ConvDecoder, ConvEncoder
from vdp.nets.dcgan import DCGANDecoder, DCGANEncoder
from vdp.nets.ladder import LadderDecoder, LadderEncoder
from vdp.nets.made import MADE
from vdp.nets.mlp import MLP, ConditionalMADE, FeedForward, MLPDenoiser
from vdp.nets.unet import UNetDenoiser

__all__ = [
    "MADE",
    "MLP",
    "CausalTransformer",
    "ConditionalMADE",
    "ConvDecoder",
    "ConvEncoder",
    "DCGANDecoder",
    "DCGANEncoder",
    "FeedForward",
    "LadderDecoder",
    "LadderEncoder",
    "MLPDenoiser",
    "UNetDenoiser",
]

_BODIES = ("FeedForward", "MLP")  # between any two shapes
_ENCODERS = (*_BODIES, "ConvEncoder", "DCGANEncoder")
ROLES = {
    "encoder": (*_ENCODERS, "LadderEncoder"),
    "decoder": (*_BODIES, "ConvDecoder", "DCGANDecoder", "LadderDecoder"),
    "denoiser": ("MLPDenoiser", "UNetDenoiser"),
    "net": (*_ENCODERS, "MADE", "CausalTransformer", "ConditionalMADE"),
}
