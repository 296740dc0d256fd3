"""Names under which layers keep the sizes of their parameters, although forward never reads them."""

from __future__ import annotations

# attribute name -> (parameter or buffer, dimension)
DESCRIBES: dict[str, tuple[tuple[str, int], ...]] = {
    "in_features": (("weight", 1), ("in_proj_weight", 1)),
    "out_features": (("weight", 0),),
    "in_channels": (("weight", 1),),
    "out_channels": (("weight", 0),),
    "num_features": (("weight", 0), ("running_mean", 0)),
    "num_channels": (("weight", 0),),
    "embedding_dim": (("weight", 1),),
    "normalized_shape": (("weight", 0),),
    "num_parameters": (("weight", 0),),
    "in1_features": (("weight", 1),),
    "in2_features": (("weight", 2),),
    "kdim": (("in_proj_weight", 1), ("k_proj_weight", 1)),
    "vdim": (("in_proj_weight", 1), ("v_proj_weight", 1)),
    "nf": (("weight", 1),),  # transformers' Conv1D stores (in, out)
    "nx": (("weight", 0),),
    "hidden_size": (("weight_hh_l0", 1), ("weight_hh", 1)),
    "input_size": (("weight_ih_l0", 1), ("weight_ih", 1)),
}
