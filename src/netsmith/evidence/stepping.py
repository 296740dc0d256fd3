"""Forwards that stop at chosen calls, so that many can go through a network in step.

A repair that works layer by layer needs, at every layer, all calibration batches up to there, through the network as
already repaired. Running each prefix again costs the square of the depth. Here every batch's forward is a thread that
stops at the calls asked for and hands them over; only one thread runs at a time, so nothing races and the order is
always the same. Memory is that of the live activations of all batches.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..errors import EvidenceError, NetsmithError
from ..wiring import call_model
from ..wiring.inputs import describe
from ..wiring.recorder import counts, function_name, tensors_in
from .products import computed

_OTHER_PATH = "forward took another path than with the example inputs"
_NO_REPAIR = "Models whose path depends on values cannot be repaired layer by layer."


@dataclass(frozen=True)
class Stop:
    """A call that is about to run.

    Attributes:
        index: which call, counted as in ``Wiring.calls``.
        name: canonical function name.
        func, args, kwargs: to run it.
    """

    index: int
    name: str
    func: Callable[..., Any]
    args: tuple
    kwargs: dict[str, Any]

    def run(self) -> Any:
        """What the call returns.

        Raises:
            EvidenceError: the function raises on this batch.
        """
        try:
            with torch._C.DisableTorchFunction():
                return computed(self.func, self.args, self.kwargs)
        except Exception as error:
            raise raises(f"{self.name} (call {self.index})", (self.args, self.kwargs), error) from error


def raises(what: str, inputs: Any, error: Exception) -> EvidenceError:
    """The error for a batch that forward cannot take."""
    return EvidenceError(
        f"{what} raises on a batch of the data ({describe(inputs)}): {type(error).__name__}: {str(error)[:300]}\n"
        "Give batches like the example inputs, each x or (x, y)."
    )


class _Abandoned(BaseException):
    """Ends a thread whose forward is no longer wanted."""


class Forward:
    """One forward of one batch. ``resume`` runs it up to the next stop; the caller then says what that call returns.

    Args:
        model: in the mode it is to run in.
        inputs: one call's inputs.
        stops: call index, counted as in ``Wiring.calls`` -> name of the function expected there.
    """

    def __init__(self, model: nn.Module, inputs: Any, stops: Mapping[int, str]):
        self._model, self._inputs, self._stops = model, inputs, dict(stops)
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._stop: Stop | None = None
        self._answer: Any = None
        self._error: BaseException | None = None
        self._abandoned = self._started = False
        self._threads = 1
        self.output: Any = None
        context = contextvars.copy_context()  # a thread starts with none of its own
        self._thread = threading.Thread(target=context.run, args=(self._run,), daemon=True)

    def resume(self, answer: Any = None) -> Stop | None:
        """Go on, the stopped call having returned ``answer``; None when forward has ended (see ``output``).

        Raises:
            EvidenceError: forward raises on this batch, or goes another way than with the example inputs.
        """
        self._answer, self._stop, self._threads = answer, None, torch.get_num_threads()
        if self._started:
            self._go.release()
        else:
            self._started = True
            self._thread.start()
        self._stopped.acquire()
        if self._error is not None:
            raise self._error
        return self._stop

    def abandon(self) -> None:
        """End the thread without finishing the forward."""
        if self._started and self._thread.is_alive():
            self._abandoned = True
            self._go.release()
            self._thread.join()

    def _run(self) -> None:
        torch.set_num_threads(self._threads)  # the setting belongs to a thread: as many as whoever resumes it may use
        try:
            with torch.no_grad(), _Stops(self) as counted:
                self.output = call_model(self._model, self._inputs)
            missed = [index for index in self._stops if index >= counted.count]
            if missed:
                raise EvidenceError(f"{_OTHER_PATH}: it ended after {counted.count} calls. {_NO_REPAIR}")
        except _Abandoned:
            pass
        except NetsmithError as error:
            self._error = error
        except Exception as error:
            self._error = raises("forward", self._inputs, error)
            self._error.__cause__ = error
        except BaseException as error:
            self._error = error
        finally:
            self._stopped.release()

    def _hand_over(self, stop: Stop) -> Any:
        self._stop = stop
        self._stopped.release()
        self._go.acquire()
        if self._abandoned:
            raise _Abandoned
        torch.set_num_threads(self._threads)
        answer, self._answer = self._answer, None
        return answer


class _Stops(TorchFunctionMode):
    """Counts calls as the recorder does."""

    def __init__(self, forward: Forward):
        super().__init__()
        self._forward, self.count = forward, 0

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        name = function_name(func)
        expected = self._forward._stops.get(self.count)
        if name == expected:
            out = self._forward._hand_over(Stop(self.count, name, func, args, kwargs))
        else:
            out = computed(func, args, kwargs)
        if counts(name, tensors_in(out)):
            if expected is not None and name != expected:
                raise EvidenceError(f"{_OTHER_PATH}: call {self.count} is {name}, was {expected}. {_NO_REPAIR}")
            self.count += 1
        return out
