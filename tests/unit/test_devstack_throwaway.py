import os
import time
from contextlib import ExitStack
from pathlib import Path

from devstack.throwaway import UNUSED_SECONDS, shared_by_run


def open_counted(close: ExitStack, folder: Path) -> str:
    """Something that is opened, and closed again by removing its mark."""
    mark = folder.with_suffix(".opened")
    mark.touch(exist_ok=False)
    close.callback(mark.unlink)
    return str(mark)


def test_the_first_opens_all_get_the_same_and_the_folder_is_gone_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "run-1"

    with shared_by_run(folder, {"part": open_counted}) as first:
        with shared_by_run(folder, {"part": open_counted}) as second:
            assert first == second
        assert Path(first["part"]).exists()

    assert not folder.exists()


def test_only_old_folders_that_nobody_uses_are_removed(tmp_path: Path) -> None:
    long_ago = time.time() - UNUSED_SECONDS - 1
    for name in ("run-killed", "run-begun", "other-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "users").touch()
    for name in ("run-killed", "other-1"):
        os.utime(tmp_path / name / "users", (long_ago, long_ago))

    with shared_by_run(tmp_path / "run-in-use", {"part": open_counted}):
        os.utime(tmp_path / "run-in-use/users", (long_ago, long_ago))
        with shared_by_run(tmp_path / "run-now", {"part": open_counted}):
            assert {path.name for path in tmp_path.iterdir()} == {"run-begun", "run-in-use", "run-now", "other-1"}
