"""LSTM, GRU and plain recurrent layers: the gates are a fixed factor in front of the hidden units."""

from __future__ import annotations

from .. import spaces
from ..provenance import SizeOf
from ..recorder import Call, Dims, constants, tensors_in

_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def recurrent(call: Call) -> list[Dims]:
    """(input, states, weights, bias?, layers, dropout, train, bidirectional, batch_first) -> output, states..."""
    if not isinstance(call.args[2], (list, tuple)):
        raise TypeError("a packed sequence")
    weights, bias, layers, both = call.args[2], call.args[3], int(call.args[4]), bool(call.args[7])
    directions, per_cell, gates = 1 + both, 4 if bias else 2, _GATES[call.name]
    if len(weights) != per_cell * layers * directions:
        raise TypeError("an LSTM with projections")
    x, states = call.dims(call.args[0]), tensors_in(call.args[1])
    time = 1 if call.args[8] and len(x) == 3 else 0
    batch = x[1 - time : 2 - time] if len(x) == 3 else []
    call.freeze(x[time], "a recurrent layer steps along it")
    for state in states:
        call.freeze(call.dims(state)[0], "one state for each layer and direction")
        for dim, known in zip(call.dims(state)[1:-1], batch, strict=True):
            spaces.unify(dim, known)
    given = [state for state in states if call.made_by(state) not in ("zeros", "new_zeros")]
    entering, first, cells = x[-1], None, []
    for layer in range(layers):
        hidden = []
        for direction in range(directions):
            at = per_cell * (layer * directions + direction)
            cell = list(weights[at : at + per_cell])
            dims = [call.dims(t) for t in cell]
            units = dims[1][1]
            spaces.unify(dims[0][1], entering)
            for tensor, own in zip(cell, dims, strict=True):
                spaces.unify(own[0], spaces.new(gates, "gates of a recurrent cell") + units)
                call.role(tensor, 0, "producer")
            for tensor in cell[:2]:
                call.role(tensor, 1, "consumer")
            hidden.append(units)
            if first is None:
                first = units
                for state in states:
                    spaces.unify(call.dims(state)[-1], units)
            else:
                call.recorder.constraints.append((SizeOf(first), SizeOf(units)))  # hidden_size is one attribute
                for state in given:  # one dimension for the units of every layer and direction
                    spaces.unify(call.dims(state)[-1], units)
            cells.append(units)
        entering = spaces.concat(hidden) if both else hidden[0]
    if len(cells) > 1:  # the last states lay the units of different cells over each other
        for output in range(1, len(call.outputs())):
            for units in cells:
                call.positions(units, output)
    last = [[constants(t, "states of a recurrent layer")[0], *batch, first or []] for t in call.outputs()[1:]]
    return [[*x[:-1], entering], *last]


def cell(call: Call) -> Dims | list[Dims]:
    """(input, state or (h, c), w_ih, w_hh, b_ih, b_hh): one step of one layer."""
    x, states = call.dims(call.args[0]), tensors_in(call.args[1])
    weights = tensors_in(call.args[2:])
    dims = [call.dims(t) for t in weights]
    units = dims[1][1]
    spaces.unify(dims[0][1], x[-1])
    for tensor, own in zip(weights, dims, strict=True):
        spaces.unify(own[0], spaces.new(_GATES[call.name.removesuffix("_cell")], "gates of a recurrent cell") + units)
        call.role(tensor, 0, "producer")
    for state in states:
        for dim, known in zip(call.dims(state), [*x[:-1], units], strict=True):
            spaces.unify(dim, known)
    outs = [[*x[:-1], units] for _ in call.outputs()]
    return outs[0] if len(outs) == 1 else outs


RULES = {name: recurrent for name in _GATES} | {f"{name}_cell": cell for name in _GATES}
