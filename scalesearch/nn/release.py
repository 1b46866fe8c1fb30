"""Freeing what a piece of work leaves in memory, so that the next one, and other processes of the GPU, have it."""

from __future__ import annotations

import functools
import gc
import traceback
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


def releasing(work: Callable[P, T]) -> Callable[P, T]:
    """Return `work`, after which none of its tensors is held, and no reserve of a GPU that this process used.

    An exception keeps the variables of the functions that it passed through, the model among them, for as long as it is
    kept itself: by a future until a driver has read it, by a notebook for ever. After a lack of memory, the next model
    would find the memory full. So its traceback inside `work` becomes a note. torch keeps freed memory of a GPU for the
    process, where no other can use it.
    """

    @functools.wraps(work)
    def done(*args: P.args, **kwargs: P.kwargs) -> T:
        failed = False
        try:
            return work(*args, **kwargs)
        except BaseException as error:
            failed = True
            let_go(error)
            raise
        finally:
            on_gpu = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
            if failed or on_gpu:
                gc.collect()  # what refers to itself is still there
            if on_gpu:
                torch.cuda.empty_cache()

    return done


def let_go(error: E) -> E:
    """Replace the traceback of an exception, and the exceptions that led to it, by a note with their text; return it."""
    # Clearing the functions' variables is not enough: a traceback refers to functions, and these to what they close over.
    error.add_note("".join(traceback.format_exception(error)).rstrip())
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error
