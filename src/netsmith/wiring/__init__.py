"""What hangs together in a model: axes, blocks and the demands of its forward."""

from .inputs import as_arguments, call_model
from .slots import IntSlot, Slot, fingerprint, int_slots, tensor_slots
from .trace import trace
from .wiring import Axis, Block, Branch, Member, Transition, Wiring

__all__ = [
    "Axis",
    "Block",
    "Branch",
    "IntSlot",
    "Member",
    "Slot",
    "Transition",
    "Wiring",
    "as_arguments",
    "call_model",
    "fingerprint",
    "int_slots",
    "tensor_slots",
    "trace",
]
