"""Where trials are kept: Optuna's storages, opened by a path or a URL, with every fault of theirs told in one way."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import FileError, InputError, NetsmithError, missing_extra

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

SQLITE = (".db", ".sqlite", ".sqlite3")
JOURNAL = (".journal", ".jsonl", ".log")
_LOCK_SECONDS = 60  # that a write waits for other processes


def open_storage(where: str | Path) -> BaseStorage:
    """An Optuna storage: a SQLite file, a journal file or the database of a URL. Files are made where there are none.

    Raises:
        MissingExtraError: Optuna is not installed.
        InputError: no kind that is known.
        FileError: the folder is missing, the file is none of that kind or damaged, or no database answers.
    """
    try:
        import optuna
    except ImportError:
        raise missing_extra("optuna", "search", "keeping trials (storage=)") from None
    text, path = str(where), Path(where)
    kind = path.suffix.lower()
    if "://" not in text and kind not in SQLITE + JOURNAL:
        raise InputError(
            f"storage {text!r} is of no known kind; give a file that ends in {' or '.join(SQLITE)} (SQLite: one "
            f"machine) or {' or '.join(JOURNAL)} (journal: several machines), or a database URL such as postgresql://..."
        )
    if "://" not in text and not path.absolute().parent.is_dir():
        raise FileError(f"storage {text}: the folder {path.absolute().parent} does not exist; create it")
    with told_of(text), quietly():
        if "://" in text:
            return _database(optuna, text)
        if kind in SQLITE:
            return _database(optuna, f"sqlite:///{path.absolute()}")
        from optuna.storages.journal import JournalFileBackend

        _check_end(path)
        # An absolute path: the lock is a link to the file, and a relative one would point nowhere.
        return optuna.storages.JournalStorage(JournalFileBackend(str(path.absolute())))


def _check_end(path: Path) -> None:
    """Optuna passes over a last line that cannot be read, and would then write behind it, or even on in it."""
    for wait in (0.1, 0.3, 1.0):  # another process may be writing it
        if not path.exists() or _ends_well(path.read_bytes()):
            return
        time.sleep(wait)
    raise FileError(
        f"storage {path} cannot be used: its last line is cut off or no JSON.\n"
        "Remove that line (what it said is lost), or move the file away to begin anew"
    )


def _ends_well(content: bytes) -> bool:
    line = content[:-1].rpartition(b"\n")[2]
    try:
        return not content or (content.endswith(b"\n") and json.loads(line) is not None)
    except ValueError:
        return False


@contextmanager
def told_of(where: str) -> Iterator[None]:
    """Whatever Optuna, SQLAlchemy or a damaged file raises becomes one ``FileError``."""
    try:
        yield
    except NetsmithError:
        raise
    except Exception as error:  # KeyError, AssertionError, ValueError, JSONDecodeError, SQLAlchemyError ...
        cause = error.__cause__ or error
        reason = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
        raise FileError(
            f"storage {without_password(where)} cannot be used: {type(cause).__name__}: {reason}.\n"
            "It is damaged, no storage of trials, or out of reach; give another one, or move it away to begin anew"
        ) from error


def without_password(where: str) -> str:
    """The URL as it may be shown."""
    scheme, found, rest = where.partition("://")
    account, at, host = rest.rpartition("@")
    return f"{scheme}://{account.partition(':')[0]}@{host}" if found and at else where


def _database(optuna: Any, url: str) -> BaseStorage:
    from sqlalchemy.exc import DBAPIError

    waiting = {"connect_args": {"timeout": _LOCK_SECONDS}} if url.startswith("sqlite") else {}
    for pause in (0.1, 0.3, 1.0):
        try:
            return optuna.storages.get_storage(optuna.storages.RDBStorage(url, engine_kwargs=waiting))
        except DBAPIError:  # of processes that make the tables at the same moment one succeeds
            time.sleep(pause)
    return optuna.storages.get_storage(optuna.storages.RDBStorage(url, engine_kwargs=waiting))


@contextmanager
def quietly() -> Iterator[None]:
    """Without Optuna's notes on stderr about what it opens."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
