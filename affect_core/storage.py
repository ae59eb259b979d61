"""Files that are either whole or not there: atomic writes, and one writer at a time."""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from affect_core.errors import AffectError

_DISK_REFUSES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)
_PROBE = 2**20


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed, and the folder flushed.

    A reader sees the old file or the new one, never half of either, after a power cut too; a killed writer leaves only
    hidden files that `remove_unfinished` knows.
    Raises AffectError when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise AffectError(f"{path} is a folder; give the name of a file.")
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise AffectError(f"{path} cannot be written: {error.strerror}.") from error
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o644)  # a writer may have put a private file of its own here, as safetensors does
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except Exception as error:
        refusal = _refusal(error, temporary)
        temporary.unlink(missing_ok=True)
        if refusal is not None:
            raise AffectError(f"{path} cannot be written: {refusal}; an earlier file is intact.") from error
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Bring the names in `folder` to the disk, where the system can (some file systems cannot)."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder may be writable and not readable
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES):
            raise AffectError(f"{folder} cannot be flushed to disk: {error.strerror}.") from error
    finally:
        os.close(handle)


def _refusal(error: Exception, temporary: Path) -> str | None:
    """Why the disk refuses to write, in the system's words; None if `error` has another cause.

    torch and safetensors hide the system's error in errors of their own, so the disk is asked again.
    """
    if isinstance(error, AffectError):
        return None
    if not isinstance(error, OSError):
        try:
            with open(temporary, "ab") as file:
                file.write(bytes(_PROBE))
                file.flush()
                os.fsync(file.fileno())
        except OSError as found:
            error = found
    return error.strerror if isinstance(error, OSError) and error.errno in _DISK_REFUSES else None


def remove_unfinished(folder: Path, name: str = "") -> None:
    """Remove what killed writers of `atomic_path` left directly in `folder` of files whose name begins with `name`.

    Without a name also what safetensors left, whose temporary files are called .tmp and six letters or digits. Nobody
    else must be writing such files there.
    """
    patterns = [f".{glob.escape(name)}*.tmp"] if name else [".*.tmp", ".tmp" + "[A-Za-z0-9]" * 6]
    for pattern in patterns:
        for path in Path(folder).glob(pattern):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_figure(path: Path, figure, **options) -> None:
    """A matplotlib figure as PNG, whole or not at all; `options` go to `savefig`."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", **options)


def read_json(path: Path):
    """Read JSON. Raises AffectError naming the file if it is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise AffectError(f"{path} is not readable as JSON: {error}.") from error


@contextmanager
def exclusive(lock: Path, what: str) -> Iterator[None]:
    """Hold the file `lock` for this process; a second holder gets an AffectError saying that `what` is in use.

    The lock dies with its process, however that ends; the empty file stays.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = open(lock, "w")
    except OSError as error:
        raise AffectError(f"{lock} cannot be written: {error.strerror}.") from error
    with held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AffectError(f"{what} is in use by another run; wait for it or choose another name.") from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):  # a file system without locks: nobody can be kept out
                raise
        yield
