"""What does not fit into memory is one line before it is taken."""

from __future__ import annotations

import dataclasses
import resource

import pytest

from scalesearch.arch.scaling import named
from scalesearch.inputs.machine import free_memory, processors
from scalesearch.nn.memory_limit import check_inference, training_shortage


def test_a_detector_larger_than_memory_is_refused_with_both_numbers() -> None:
    spec = dataclasses.replace(named("d7"), size=(2**14, 2**14))
    with pytest.raises(ValueError, match=r"at 16384x16384 and batch 64 this one needs at least .*B and .*B are free"):
        check_inference(spec, 64)
    check_inference(named("lite0", classes=3), 1)


def test_a_training_larger_than_memory_says_so() -> None:
    spec = named("d7")
    message = training_shortage(spec, batch=65_536, optimizer="adamw", momentum=True, checkpointing=True)
    assert message.startswith("a training must fit into memory, but at 1536x1536 and batch 65536")
    small = dataclasses.replace(named("lite0", classes=3), size=(64, 64))
    assert training_shortage(small, batch=1, optimizer="sgd", momentum=False, checkpointing=False) == ""


def test_the_limit_of_the_process_counts() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    free = free_memory()
    resource.setrlimit(resource.RLIMIT_AS, (free // 2 + 2**30, before[1]))
    try:
        assert free_memory() <= free // 2 + 2**30
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert free > 0 < processors()
