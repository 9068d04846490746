"""The data that flows between the rooms, and the protocols the components keep.

Other rooms import all of it from here; of its files `arrays` names the data, `components` and
`models` have the protocols.
"""

# ruff: noqa: F401
from vdp.types.arrays import (
    AnyArray,
    Array,
    Arrays,
    Aux,
    Batch,
    Encode,
    Images,
    Key,
    Levels,
    Noise,
    Params,
    Purpose,
    SameArray,
    Shape,
    Stats,
    Terms,
)
from vdp.types.components import (
    Chained,
    DiffusionLike,
    Likelihood,
    Placed,
    Prior,
    PseudoInput,
)
from vdp.types.models import (
    ELBO,
    Adjustable,
    ByUnit,
    Classifying,
    Coded,
    Encoding,
    Fittable,
    Generative,
    Hierarchical,
    Latent,
    LatentGenerative,
    Learning,
    Model,
    OverPrior,
    Partial,
    Probabilistic,
    Ranged,
    Reconstructing,
    Refinable,
    Reinterpretable,
    Score,
    Scored,
    Stochastic,
    Weighted,
    Weights,
)
