"""A published file is the old one or the new one, and what is no file is never replaced."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from scalesearch.io.publish import discard_leftovers, publish, publish_or_keep, publishing, publishing_folder


def test_a_file_is_published_with_its_folders_and_nothing_is_left_aside(tmp_path: Path) -> None:
    publish(tmp_path / "a" / "b" / "c.txt", "é\n")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == b"\xc3\xa9\n"
    publish(tmp_path / "a" / "b" / "c.txt", b"new")
    assert [file.name for file in (tmp_path / "a" / "b").iterdir()] == ["c.txt"]
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "new"


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("old")
    with pytest.raises(ZeroDivisionError), publishing(file) as aside:
        aside.write_bytes(bytes(7 // len("")))
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


def test_permissions_are_those_of_the_file_that_was_there_or_an_ordinary_ones(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    (tmp_path / "closed").touch(mode=0o600)
    for name in ("new", "closed"):
        publish(tmp_path / name, "x")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == {"ordinary": modes["ordinary"], "new": modes["ordinary"], "closed": 0o600}


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "file")
    publish(tmp_path / "link", "x")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "elsewhere" / "file").read_text() == "x"


def test_a_device_a_pipe_and_a_folder_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, kept in (("pipe", stat.S_ISFIFO), ("folder", stat.S_ISDIR)):
        with pytest.raises(FileExistsError, match=f"{name}: only a regular file can be replaced, but this is none"):
            publish(tmp_path / name, "x")
        assert kept((tmp_path / name).stat().st_mode)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_longest_name_can_be_published(tmp_path: Path) -> None:
    publish(tmp_path / ("é" * 127), "x")
    assert [file.name for file in tmp_path.iterdir()] == ["é" * 127]


def test_leftovers_of_one_name_are_discarded_and_nothing_else(tmp_path: Path) -> None:
    kept = ["last.pt", ".other.tmp", ".last.pt", ".best.pt.1-a.tmp", "last.pt.1.tmp"]
    for name in (*kept, ".last.pt.77-00ff00ff.tmp"):
        (tmp_path / name).touch()
    discard_leftovers(tmp_path, "last.pt")
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(kept)


def test_what_cannot_be_written_is_kept_and_the_line_says_where() -> None:
    with pytest.raises(OSError, match=r"^/proc/table.json could not be written \(.+\); it is kept as ") as error:
        publish_or_keep(Path("/proc/table.json"), "dear")
    kept = Path(str(error.value).split("kept as ")[1].split(":")[0])
    assert kept.read_text() == "dear"
    kept.unlink()
    kept.parent.rmdir()


def test_a_folder_is_published_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), publishing_folder(tmp_path / "set") as aside:
        (aside / "in" / "half").touch()
    assert list(tmp_path.iterdir()) == []
    with publishing_folder(tmp_path / "set") as aside:
        (aside / "in").mkdir()
        (aside / "in" / "whole").write_text("x")
    assert [str(item.relative_to(tmp_path)) for item in sorted(tmp_path.rglob("*"))] == [
        "set",
        "set/in",
        "set/in/whole",
    ]
    with pytest.raises(OSError), publishing_folder(tmp_path / "set") as aside:  # noqa: PT011  the system's own words
        (aside / "other").touch()
    assert (tmp_path / "set" / "in" / "whole").exists()
