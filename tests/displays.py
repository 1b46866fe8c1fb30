"""A display of progress that a test watches."""

from __future__ import annotations

from contextlib import AbstractContextManager

from scalesearch.io.progress import Update, displayed


class _Watched:
    def __init__(self, update: Update, labels: list[str]) -> None:
        self._update, self._labels = update, labels

    def bar(self, label: str, *, at_once: bool = False) -> Update:
        self._labels.append(label)
        return self._update


def watched(update: Update, labels: list[str] | None = None) -> AbstractContextManager[None]:
    """Make every bar inside the `with` block call `update`, and collect the bars' labels in `labels`."""
    return displayed(_Watched(update, [] if labels is None else labels))
