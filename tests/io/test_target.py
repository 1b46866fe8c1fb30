"""A target is looked at before the work: whatever stands in its place is named in one line, and nothing is touched."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scalesearch.io.target import TargetError, claim_file, claim_folder


def ours(file: Path) -> bool:
    return file.read_text().startswith("ours")


def make_folder(place: Path) -> None:
    place.mkdir()


def make_pipe(place: Path) -> None:
    os.mkfifo(place)


def make_socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(place))


def make_device(place: Path) -> None:
    place.symlink_to("/dev/full")


def make_foreign(place: Path) -> None:
    place.write_text("theirs")


def make_link_to_foreign(place: Path) -> None:
    place.with_name("theirs").write_text("theirs")
    place.symlink_to("theirs")


def make_undecodable(place: Path) -> None:
    place.write_bytes(b"\xff\xfe\0")


def make_protected(place: Path) -> None:
    place.write_text("ours")
    place.chmod(0o444)


def make_link_in_a_circle(place: Path) -> None:
    place.symlink_to(place.name)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_folder, "this is a folder"),
        (make_pipe, "this is a pipe"),
        (make_socket, "this is a socket"),
        (make_device, "this is a device"),
        (make_foreign, "but this one is not"),
        (make_link_to_foreign, "but this one is not"),
        (make_undecodable, "but this one is not"),
        (make_protected, "must be writable, but this file is not"),
        (make_link_in_a_circle, "cannot be done"),
    ],
)
def test_what_is_no_file_of_ours_is_refused_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    make(Path("x.json"))
    before = {
        file: (file.lstat().st_mode, file.lstat().st_mtime_ns, file.lstat().st_ino) for file in tmp_path.iterdir()
    }
    with pytest.raises(TargetError, match=rf"^x\.json: a table .*{reason}") as error:
        claim_file(Path("x.json"), "a table", ours)
    assert ("\n" not in str(error.value) and "name another" in str(error.value)) or "name a file" in str(error.value)
    after = {file: (file.lstat().st_mode, file.lstat().st_mtime_ns, file.lstat().st_ino) for file in tmp_path.iterdir()}
    assert after == before


def test_a_new_file_an_empty_one_and_one_of_ours_are_free(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "ours").write_text("ours, and more")
    (tmp_path / "link").symlink_to("not/there/yet")
    for place in ("new", "empty", "ours", "link", "no/such/folder/new"):
        claim_file(tmp_path / place, "a table", ours)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["empty", "link", "ours"]  # and nothing is left behind


@pytest.mark.parametrize(
    "claim", [lambda place: claim_file(place, "a table", ours), lambda p: claim_folder(p, "a study")]
)
@pytest.mark.parametrize("place", ["/proc/x", "/sys/x/y", "n" * 300])
def test_a_place_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, claim: Callable[[Path], None], place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError, match=f"^{place}: a .* must be written.* but that cannot be done") as error:
        claim(Path(place))
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "claim", [lambda place: claim_file(place, "a table", ours), lambda p: claim_folder(p, "a study")]
)
@pytest.mark.parametrize(
    ("place", "reason"), [("/dev/null/x", "/dev/null is a device"), ("file/x/y", "file is a file")]
)
def test_what_is_no_folder_in_the_middle_of_a_path_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, claim: Callable[[Path], None], place: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("theirs")
    with pytest.raises(TargetError, match=f"^{place}: a .* must be in a folder, but .*{reason}; name another place"):
        claim(Path(place))
    assert Path("file").read_text() == "theirs" and [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "closed").mkdir(mode=0o555)
    with pytest.raises(TargetError, match="Permission denied"):
        claim_folder(tmp_path / "closed", "a study")


def test_a_full_disk_is_reported_before_the_work(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("no right to mount a small disk")
    try:
        claim_file(disk / "x", "a table", ours, room=2**20)
        with pytest.raises(TargetError, match="No space left on device"):
            claim_file(disk / "x", "a table", ours, room=2**22)
        (disk / "filler").write_bytes(bytes(2 * 2**20))
        with pytest.raises(TargetError, match="No space left on device"):
            claim_folder(disk / "study", "a study")
        assert [file.name for file in disk.iterdir()] == ["filler"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_file_where_a_folder_is_wanted_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("theirs")
    with pytest.raises(TargetError, match="a study is a folder, but this is a file"):
        claim_folder(tmp_path / "x", "a study")
    with pytest.raises(TargetError, match="a study is a folder, but this is a device"):
        claim_folder(Path("/dev/null"), "a study")
