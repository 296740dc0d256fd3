"""Trials as tasks of a Ray cluster. Ray places them by the resources they ask for and retries those that die."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError, missing_extra
from .attempt import Result, attempt
from .parcel import pack, unpack
from .trial import Work

LOCAL = "local"  # starts a cluster of this machine's cores for as long as the trials run


class Cluster:
    """Each trial is one task with one torch thread a CPU it asks for.

    The work is sent once a machine, pickled by value where it comes from the caller's script; netsmith and other
    modules have to be installed on every machine, or lie where this process finds them (a folder that all share).
    A cluster that this process is connected to already is used as it is.
    """

    def __init__(self, work: Work, address: str, workers: int, retries: int, resources: Mapping[str, float]):
        self._ray = ray = _ray()
        self._ours = not ray.is_initialized()
        parcel = pack(work, ray.cloudpickle)
        if self._ours:
            _connect(ray, address, workers)
        self._tasks: dict[Any, str] = {}
        try:
            places = _places(ray.cluster_resources(), resources)
            self.slots = min(workers, places) if workers > 1 else places
            self._work = ray.put(parcel)
            threads = max(1, int(resources.get("num_cpus", 1)))
            task = ray.remote(_take).options(max_retries=retries, **resources)
        except BaseException:
            self.__exit__()
            raise
        self._submit = lambda spec: task.remote([self._work], spec, threads, sys.path)

    def start(self, key: str, spec: Mapping[str, Any]) -> None:
        self._tasks[self._submit(dict(spec))] = key

    def finished(self, timeout: float) -> list[tuple[str, Result]]:
        if not self._tasks:
            return []
        ready, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=timeout)
        return [(self._tasks.pop(task), self._result(task)) for task in ready]

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *fault: object) -> None:
        for task in self._tasks:
            self._ray.cancel(task, force=True)
        self._tasks.clear()
        if self._ours:
            self._ray.shutdown()

    def _result(self, task: Any) -> Result:
        try:
            return self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:  # not the work, which is caught: it could not be unpacked
            raise InputError(
                f"a machine of the Ray cluster cannot take the work ({type(error.cause).__name__}: {error.cause}); "
                "install netsmith and the modules that your model comes from there, in the same versions"
            ) from error
        except self._ray.exceptions.RayError as error:
            text = str(error).strip().splitlines()[0]
            return Result(None, 0.0, f"its Ray task died more often than it is tried again: {text}", died=True)


def _take(work: list[Any], spec: Mapping[str, Any], threads: int, path: list[str]) -> Result:
    """The task. The reference comes in a list, so that Ray does not fetch what this process has unpacked already."""
    sys.path += [folder for folder in path if folder not in sys.path and Path(folder).exists()]
    torch.set_num_threads(threads)
    return attempt(_unpacked(work[0]), spec)


@lru_cache(maxsize=1)
def _unpacked(reference: Any) -> Work:
    return unpack(_ray().get(reference))


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise missing_extra("ray", "ray", "running trials on a cluster (ray=)") from None
    return ray


def _connect(ray: Any, address: str, workers: int) -> None:
    local = {"num_cpus": workers if workers > 1 else None, "include_dashboard": False}
    try:
        _knock(address)
        ray.init(address, log_to_driver=False, configure_logging=False, **(local if address == LOCAL else {}))
    except Exception as error:  # Ray has no class of its own for it
        raise InputError(
            f"no Ray cluster answers at {address!r} ({type(error).__name__}: {str(error).strip().splitlines()[0]}); "
            f'start one with `ray start --head`, or give "{LOCAL}" for one on this machine'
        ) from error


def _knock(address: str) -> None:
    """Ray itself tries for minutes to reach a port where nobody answers."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _places(cluster: Mapping[str, float], resources: Mapping[str, float]) -> int:
    """How many trials the cluster has room for at once."""
    names = {"num_cpus": "CPU", "num_gpus": "GPU"}
    if not resources or resources.keys() - names or not all(share > 0 for share in resources.values()):
        raise InputError(f"resources is {dict(resources)}; give num_cpus, num_gpus or both, each above 0")
    places = min(int(cluster.get(names[name], 0) / share) for name, share in resources.items())
    if places < 1:
        has = ", ".join(f"{cluster.get(name, 0):g} {name}" for name in names.values())
        raise InputError(f"a trial asks for {dict(resources)}, and the whole Ray cluster has {has}; ask for less")
    return places
