"""Keeps the trials of a study in an Optuna storage, and lets several processes and machines divide them.

Each claim is an Optuna trial in the state RUNNING with the digest of its spec. Optuna numbers trials one after the
other, so of several claims to the same spec the lowest number holds, and the others are given up. (Optuna's queue,
``enqueue_trial``, is not used: on SQLite its ``ask`` reads before it locks, and two processes may get the same trial.)

Who holds claims makes their attribute "beat" grow. A claim whose beat others have not seen grow for a minute, or whose
process is known to be gone, is failed, and its spec is free again. (Optuna's own heartbeat is not used: journal files
have none, and a process killed before its first beat would hold its trial for ever.)

One thread of a store's own does all reading and writing, one thing after the other: Ctrl-C, which strikes the main
thread wherever it is, leaves no transaction half-way and no file locked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import FileError, InputError
from .attempt import Result
from .owners import is_gone, this_process
from .storages import open_storage, quietly, told_of, without_password
from .trial import digest

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

T = TypeVar("T")


class Store:
    """The trials of one study. ``run_trials`` enters it; the same store serves one call after the other.

    A finished trial is found again by its spec. One that failed because its workers died is tried anew by whoever
    opens the store later.

    Args:
        where: a file ending in .db (SQLite; one machine) or .journal (several machines that share the file), or the
            URL of a database. See ``open_storage``.
        study: what the specs do not say and the outcomes depend on, e.g. ``digest`` of model, data and options: only
            trials of the same study are found.
        beat_seconds: between two signs of life.
        dead_after: seconds without one after which another process takes a trial over. Every process of a study
            should have the same two.

    Raises:
        InputError, FileError, MissingExtraError: as ``open_storage``.
    """

    def __init__(self, where: str | Path, study: str, *, beat_seconds: float = 10.0, dead_after: float = 60.0):
        if not 0 < beat_seconds < dead_after:
            raise InputError(
                f"beat_seconds is {beat_seconds}, dead_after {dead_after}; give 0 < beat_seconds < dead_after"
            )
        self._where, self._beat_seconds, self._dead_after = str(where), beat_seconds, dead_after
        self._storage = open_storage(where)
        self._claims: dict[str, int] = {}  # key -> trial id
        self._seen: dict[int, tuple[Any, float]] = {}  # trial id -> (its beat, when it was first seen)
        self._live: dict[str, int] = {}  # key -> the lowest number that runs
        self._results: dict[str, Result] = {}
        self._earlier: frozenset[int] = frozenset()
        self._keeper = ThreadPoolExecutor(1, thread_name_prefix="netsmith-store")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        with told_of(self._where), quietly():
            self._study = self._study_id(f"netsmith-{study}")
            self._earlier = frozenset(t.number for t in self._trials() if self._result_of(t, dead=True) is not None)

    def look(self) -> None:
        """Read what others have done, and free the claims of the dead."""
        self._in_turn(self._look)

    def result(self, key: str) -> Result | None:
        """Of a finished trial, as of the last look."""
        return self._results.get(key)

    def claim(self, key: str, spec: Mapping[str, Any]) -> bool:
        """Take a trial, unless another process has it or it is finished."""
        return key not in self._live and key not in self._results and self._in_turn(self._claim, key, dict(spec))

    def finish(self, key: str, result: Result) -> None:
        """Keep the result of a claimed trial."""
        self._in_turn(self._finish, key, result)

    def __enter__(self) -> Store:
        self._stop.clear()
        self._thread = threading.Thread(target=self._keep_beating, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        """Claims that were not finished are given back."""
        self._stop.set()
        self._in_turn(self._give_back)

    def _in_turn(self, function: Callable[..., T], *args: Any) -> T:
        return self._keeper.submit(self._told, function, *args).result()

    def _told(self, function: Callable[..., T], *args: Any) -> T:
        with told_of(self._where):
            return function(*args)

    def _look(self) -> None:
        self._read()
        freed = [t for t in self._trials() if t.state.name == "RUNNING" and self._is_dead(t)]
        for trial in freed:
            self._end(trial._trial_id, failed=True)
        if freed:
            self._read()

    def _claim(self, key: str, spec: dict[str, Any]) -> bool:
        from optuna.trial import TrialState, create_trial

        attributes = {"digest": key, "spec": spec, "owner": this_process(), "beat": 0}
        template = create_trial(state=TrialState.RUNNING, user_attrs=attributes)
        trial = self._storage.create_new_trial(self._study, template)
        self._claims[key] = trial
        self._read()
        if key in self._results or self._live.get(key) != self._storage.get_trial_number_from_id(trial):
            self._end(self._claims.pop(key), failed=True)
            return False
        return True

    def _finish(self, key: str, result: Result) -> None:
        outcome = {"values": result.values, "seconds": result.seconds, "error": result.error, "died": result.died}
        self._end(self._claims.pop(key), failed=result.error is not None, outcome=outcome)

    def _give_back(self) -> None:
        while self._claims:
            self._end(self._claims.popitem()[1], failed=True)

    def _study_id(self, name: str) -> int:
        from optuna.exceptions import DuplicatedStudyError
        from optuna.study import StudyDirection

        try:
            return self._storage.create_new_study([StudyDirection.MINIMIZE], name)
        except DuplicatedStudyError:
            return self._storage.get_study_id_from_name(name)

    def _trials(self) -> list[FrozenTrial]:
        return self._storage.get_all_trials(self._study, deepcopy=False)

    def _read(self) -> None:
        self._live = {}
        for trial in self._trials():
            key = self._key_of(trial)
            if trial.state.name == "RUNNING":
                self._live.setdefault(key, trial.number)
            result = self._result_of(trial)
            if result is not None and trial.number not in self._earlier:
                self._results.setdefault(key, result)

    def _key_of(self, trial: FrozenTrial) -> str:
        key, spec = (trial.user_attrs.get(name) for name in ("digest", "spec"))
        if not isinstance(key, str) or not isinstance(spec, dict) or digest(spec) != key:
            raise self._damaged(trial, "its spec does not match its digest")
        return key

    def _result_of(self, trial: FrozenTrial, dead: bool = False) -> Result | None:
        """``dead``: only of those whose workers died."""
        outcome = trial.user_attrs.get("outcome")
        if not trial.state.is_finished() or outcome is None:
            return None
        if not isinstance(outcome, dict):
            raise self._damaged(trial, "its outcome is no mapping")
        values, seconds, error, died = (outcome.get(name) for name in ("values", "seconds", "error", "died"))
        told = isinstance(values, dict) if error is None else isinstance(error, str) and values is None
        if not told or not isinstance(seconds, int | float) or not isinstance(died, bool):
            raise self._damaged(trial, "its outcome is not one that was written here")
        return Result(values, float(seconds), error, died) if died or not dead else None

    def _damaged(self, trial: FrozenTrial, why: str) -> FileError:
        return FileError(
            f"storage {without_password(self._where)}: trial {trial.number} was changed by something else ({why}); "
            "move the storage away to begin anew"
        )

    def _is_dead(self, trial: FrozenTrial) -> bool:
        if trial._trial_id in self._claims.values():
            return False
        beat, owner, now = trial.user_attrs.get("beat"), trial.user_attrs.get("owner"), time.monotonic()
        if isinstance(owner, dict) and is_gone(owner):
            return True
        known, since = self._seen.get(trial._trial_id, (None, now))
        self._seen[trial._trial_id] = (beat, since if beat == known else now)
        return now - self._seen[trial._trial_id][1] > self._dead_after

    def _end(self, trial: int, failed: bool, outcome: dict[str, Any] | None = None) -> None:
        """A claim that another process took over has ended already; its outcome will be the same."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        with suppress(UpdateFinishedTrialError):
            if outcome is not None:
                self._storage.set_trial_user_attr(trial, "outcome", outcome)
            values = [outcome["seconds"]] if outcome is not None and not failed else None
            self._storage.set_trial_state_values(trial, TrialState.FAIL if failed else TrialState.COMPLETE, values)

    def _keep_beating(self) -> None:
        count = 0
        while not self._stop.wait(self._beat_seconds):
            count += 1
            self._keeper.submit(self._beat, count)

    def _beat(self, count: int) -> None:
        """A fault is left to the next look, which meets it again and says so."""
        from optuna.exceptions import UpdateFinishedTrialError

        for trial in self._claims.values():
            with suppress(UpdateFinishedTrialError):  # taken over by another process
                self._storage.set_trial_user_attr(trial, "beat", count)
