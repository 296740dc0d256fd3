"""What a model costs, as numbers that travel."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Cost:
    """Cost of one model.

    Attributes:
        params: parameter elements; a tensor that several names share counts once.
        macs: multiply-accumulates of one call with the example inputs (half of what torch's flop counter says).
        bytes: bytes of parameters and buffers; shared tensors count once.
        latency_ms: median milliseconds of one warm call on this machine; None where it was not measured.
        peak_bytes: the most bytes held at one time during that call, without gradients: ``bytes``, the inputs, and what
            forward has made and not yet let go (see ``costs.peak``); None where it is not known.
    """

    params: int
    macs: int
    bytes: int
    latency_ms: float | None = None
    peak_bytes: int | None = None

    def as_dict(self) -> dict[str, int | float | None]:
        return asdict(self)

    def __str__(self) -> str:
        latency = "" if self.latency_ms is None else f", {self.latency_ms:.2f} ms"
        peak = "" if self.peak_bytes is None else f" ({self.peak_bytes:,} at the peak)"
        return f"{self.params:,} params, {self.macs:,} MACs, {self.bytes:,} bytes{peak}{latency}"
