"""The run itself: passes, steps, validations and checkpoints, from wherever it was interrupted."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..data.freed_memory import freed_memory_kept
from ..data.running import eval_mode, to_device
from ..errors import FileError, InputError
from .checkpoint import FILE, Checkpoint, Position, check_belongs, read_checkpoint, write_checkpoint
from .options import Training
from .order import begin_pass, count_batches, groups, random_state_kept
from .processes import share
from .rates import make_optimizer, schedule
from .sharding import sharded, wants_shards, whole
from .soundness import loss_value, score_value
from .state import optimizer_tensors, random_tensors, restore_optimizer, restore_random, restore_tensors, tensors_of

if TYPE_CHECKING:
    from accelerate import Accelerator

Objective = Callable[[nn.Module, Any, Any], Tensor]
"""(model in train mode, x, y or None) -> scalar loss, averaged over the examples."""

Penalty = Callable[[nn.Module, int], Tensor]
"""(model, steps done) -> scalar that is added to the loss once a step."""

Validate = Callable[[nn.Module], float]
"""model in eval mode -> score, higher is better."""

AfterStep = Callable[[nn.Module], None]
"""Puts something back into force on the weights, in place, after every step."""

Progress = Callable[[int, int, dict[str, float]], None]
"""(steps done, steps in all, {"loss", "lr", "epoch"}); with "penalty" and, after a validation, "score" where known."""


@dataclass(frozen=True)
class Task:
    """What is trained, on what, and how; see ``train.train``."""

    model: nn.Module
    data: Iterable[Any]
    objective: Objective
    training: Training
    validate: Validate | None = None
    penalty: Penalty | None = None
    after_step: Sequence[AfterStep] = ()
    beside: nn.Module | None = None
    progress: Progress | None = None


class Run:
    """One training run; ``to_the_end`` trains ``task.model`` in place."""

    def __init__(self, task: Task, accelerator: Accelerator, device: torch.device):
        self.task, self.model, self.data, self.training = task, task.model, task.data, task.training
        self.accelerator, self.device = accelerator, device
        self.beside = nn.Module() if task.beside is None else task.beside.to(device)
        self.position = Position()
        self.best: dict[str, Tensor] = {}
        self.last: dict[str, float] = {}
        begin_pass(self.training.seed, 0, device, self.data)
        self.total = self._steps()
        self.wrapped, self.stepper = self._prepared()

    def _prepared(self) -> tuple[nn.Module, Any]:
        if self.accelerator.distributed_type not in ("NO", "MULTI_CPU", "MULTI_GPU"):
            raise InputError(
                f"training under {self.accelerator.distributed_type} is not supported; launch with DDP or FSDP "
                "(accelerate launch --multi_gpu or --use_fsdp, torchrun)"
            )
        if self.accelerator.num_processes > 1:
            self.model.to(self.device)  # before the optimizer sees the parameters
        if wants_shards():
            return self._shared()
        self.parameters = [*self.model.parameters(), *self.beside.parameters()]
        self.descent = make_optimizer(self.parameters, self.training)
        own = dict(vars(self.model))
        wrapped, stepper = self.accelerator.prepare(self.model, self.descent)
        self.own, self.put = own, {k: v for k, v in vars(self.model).items() if k not in own or own[k] is not v}
        return wrapped, stepper

    def _shared(self) -> tuple[nn.Module, Any]:
        """Train shards of a copy; ``to_the_end`` puts them together in the model."""
        kept = self.task.penalty is not None or self.task.after_step or any(True for _ in self.beside.parameters())
        if kept or self.training.precision == "fp16":
            raise InputError(
                "under FSDP there are no penalties, after_step, features or fp16: they need whole weights; "
                "launch with plain DDP (without --use_fsdp)"
            )
        self.model = sharded(copy.deepcopy(self.model), self.device)
        self.parameters = list(self.model.parameters())
        self.descent = make_optimizer(self.parameters, self.training)
        self.own, self.put = {}, {}
        return self.model, self.accelerator.prepare_optimizer(self.descent)

    def _undress(self) -> None:
        for name in self.put:
            del vars(self.model)[name]
        vars(self.model).update({name: value for name, value in self.own.items() if name in self.put})

    @contextmanager
    def _as_it_was(self) -> Iterator[None]:
        """Without the autocast that Accelerate puts around the forward of this instance."""
        self._undress()
        try:
            yield
        finally:
            vars(self.model).update(self.put)

    def _steps(self) -> int:
        epochs = self.training.epochs
        if epochs is None:
            return self.training.steps or 0  # one of the two is there
        return epochs * math.ceil(count_batches(self.data) / self.training.accumulate)

    @freed_memory_kept()
    def to_the_end(self) -> None:
        """Train, from the checkpoint where there is one; then the best weights are in the model."""
        resumed = self._resumed()
        self.model.train()
        self.beside.train()
        while not self.position.finished:
            self._pass(resumed)
            resumed = None
        if self.best:
            restore_tensors(self._tensors(), self.best)
        for buffer in self.model.buffers() if self.accelerator.num_processes > 1 else ():
            torch.distributed.broadcast(buffer, 0)  # statistics over a batch are each process's own
        self.stepper.zero_grad()
        self._undress()
        if self.model is not self.task.model:
            restore_tensors(tensors_of(self.task.model, "model"), whole(tensors_of(self.model, "model")))

    def _pass(self, resumed: Checkpoint | None) -> None:
        """One pass over the data, or what is left of it."""
        at, training = self.position, self.training
        begin_pass(training.seed, at.epoch, self.device, self.data)
        waiting = groups(self.data, training.accumulate)
        for _ in range(at.group):
            if next(waiting, None) is None:
                break
        if resumed is not None:
            restore_random(resumed.tensors, self.accelerator.process_index, self.device)
        for group in waiting:
            self._step(group)
            at.step, at.group = at.step + 1, at.group + 1
            if at.step == self.total or (training.validate_every and at.step % training.validate_every == 0):
                self._validated()
            at.finished = at.finished or at.step >= self.total
            if at.finished or at.step % training.checkpoint_every == 0:
                self._save()
            if self.task.progress is not None:
                self.task.progress(at.step, self.total, dict(self.last))
            if at.finished:
                return
        at.epoch, at.group = at.epoch + 1, 0
        if training.validate_every is None and self.task.validate is not None and at.validated != at.step:
            self._validated()
            if self.task.progress is not None:
                self.task.progress(at.step, self.total, dict(self.last))
            if at.finished:
                self._save()

    def _step(self, group: list[tuple[Any, Any]]) -> None:
        at, accelerator, world = self.position, self.accelerator, self.accelerator.num_processes
        rate = self.training.lr * schedule(at.step, self.total, self.training.warmup)
        for entry in self.descent.param_groups:
            entry["lr"] = rate
        parts = [share(x, y, accelerator.process_index, world) for x, y in group]
        everyone = self._sum(sum(count for *_, count in parts)) or 1
        where = f"step {at.step + 1} of {self.total} (epoch {at.epoch + 1})"
        self.stepper.zero_grad()
        value = 0.0
        self.last = {"lr": rate, "epoch": at.epoch + 1}
        for i, (x, y, count) in enumerate(parts):
            final, weight = i == len(parts) - 1, count * world / everyone
            x, y = to_device(x, self.device), to_device(y, self.device)
            with nullcontext() if final else accelerator.no_sync(self.wrapped):
                with accelerator.autocast():
                    loss = self.task.objective(self.wrapped, x, y)
                value += weight * loss_value(loss, x, where=where, lr=self.training.lr)
                loss = weight * loss
                if final and self.task.penalty is not None:
                    extra = self.task.penalty(self.model, at.step)
                    self.last["penalty"] = float(extra.detach())
                    loss = loss + extra
                accelerator.backward(loss)
        for parameter in self.beside.parameters() if world > 1 else ():
            if parameter.grad is not None:
                parameter.grad = accelerator.reduce(parameter.grad, "mean")
        if self.training.clip is not None:
            accelerator.clip_grad_norm_(self.parameters, self.training.clip)
        self.stepper.step()
        with torch.no_grad():
            for each in self.task.after_step:
                each(self.model)
        self.last["loss"] = self._sum(value) / world

    def _validated(self) -> None:
        """Measure, and keep what is best; out of patience, finish."""
        at = self.position
        if self.task.validate is None:
            return
        with self._as_it_was(), eval_mode(self.model), torch.no_grad(), random_state_kept(self.device, None):
            score = score_value(self.task.validate(self.model))
        score = self._same(score)
        at.validated, at.idle = at.step, at.idle + 1
        self.last["score"] = score
        if at.best is None or score > at.best:
            at.best, at.idle = score, 0
            self.best = {name: tensor.detach().clone() for name, tensor in whole(self._tensors()).items()}
        at.finished = self.training.patience is not None and at.idle >= self.training.patience

    def _save(self) -> None:
        if self.training.folder is None:
            return
        randoms = {
            name: self.accelerator.gather(state.to(self.device)[None])
            for name, state in random_tensors(self.device).items()
        }
        held = whole({**self._tensors(), **optimizer_tensors(self.descent)})
        if self.accelerator.is_main_process:
            tensors = {**held, **randoms}
            tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
            scaler = self.accelerator.scaler
            write_checkpoint(
                self.training.folder,
                Checkpoint(
                    self.position,
                    self._deciding(),
                    self.accelerator.num_processes,
                    {} if scaler is None else scaler.state_dict(),
                    tensors,
                ),
            )
        self.accelerator.wait_for_everyone()

    def _resumed(self) -> Checkpoint | None:
        folder = self.training.folder
        if folder is None:
            return None
        if not self.training.resume:
            if (folder / FILE).exists():
                raise FileError(
                    f"{folder} holds a checkpoint already; go on by --resume (resume=True), or give another folder"
                )
            self._tensors()  # what a checkpoint cannot hold is said before the work
            return None
        found = read_checkpoint(folder)
        if found is None:
            return None
        check_belongs(found, self._deciding(), self.accelerator.num_processes, folder)
        best = {n.removeprefix("best/"): t.to(self.device) for n, t in found.tensors.items() if n.startswith("best/")}
        if best:
            restore_tensors(self._tensors(), best)  # tells whether it fits; what was last follows
        restore_tensors(self._tensors(), found.tensors)
        restore_optimizer(self.descent, found.tensors)
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(dict(found.scaler))
        self.position, self.best = found.position, best
        return found

    def _deciding(self) -> Mapping[str, Any]:
        return {**self.training.deciding(), "total": self.total}

    def _tensors(self) -> dict[str, Tensor]:
        return {**tensors_of(self.model, "model"), **tensors_of(self.beside, "beside")}

    def _sum(self, value: float) -> float:
        """Over the processes."""
        if self.accelerator.num_processes == 1:
            return value
        return float(self.accelerator.reduce(torch.tensor(value, device=self.device), "sum"))

    def _same(self, value: float) -> float:
        """What the first process has: all must go the same way."""
        if self.accelerator.num_processes == 1:
            return value
        held = torch.tensor(value, dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(held, 0)
        return float(held)
