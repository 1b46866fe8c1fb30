"""Files are read at once: a pipe without a writer is empty, and a device has an end."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from scalesearch.inputs.files import read_start, read_whole
from scalesearch.plan.latency_table import read_table
from scalesearch.plan.plan import PlanError, read_plan
from scalesearch.rehearsal.table_file import TableError, read_table_file


def test_a_pipe_that_nobody_writes_to_is_empty(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert read_whole(pipe) == b""


def test_what_is_written_to_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    kept = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # so that the writer neither waits nor loses its reader
    held = os.open(pipe, os.O_WRONLY)

    def write() -> None:
        with os.fdopen(held, "wb") as file:
            file.write(b"plan: " * 50_000)  # more than a pipe holds

    writer = threading.Thread(target=write)
    writer.start()
    assert read_whole(pipe) == b"plan: " * 50_000
    writer.join()
    os.close(kept)


def test_a_device_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_start(Path("/dev/zero"), 10) == bytes(10)
    monkeypatch.setattr("scalesearch.inputs.files.MOST_BYTES", 1000)
    with pytest.raises(OSError, match="/dev/zero") as raised:
        read_whole(Path("/dev/zero"))
    assert raised.value.errno == errno.EFBIG


def test_each_reader_of_a_users_file_ends_at_a_pipe(tmp_path: Path) -> None:
    for name in ("plan.yaml", "table.json", "table.csv", "table.parquet"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(PlanError, match="this is empty"):
        read_plan(tmp_path / "plan.yaml")
    with pytest.raises(ValueError, match="a table of timings is a JSON file, but"):
        read_table(tmp_path / "table.json")
    with pytest.raises(TableError, match="the header names every column"):
        read_table_file(tmp_path / "table.csv")
    pytest.importorskip("pyarrow")
    with pytest.raises(TableError, match="a Parquet table is a file, but this is a pipe"):
        read_table_file(tmp_path / "table.parquet")
