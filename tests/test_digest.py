"""What the package computes is, to the last bit, what it computed when ``digests.json`` was recorded."""

import json

import digest
import pytest
from llvmlite.binding import get_host_cpu_features


def check(size):
    recorded = json.loads(digest.RECORD.read_text())[str(size)]
    if recorded[digest.MACHINE] != digest.machine() or not get_host_cpu_features().get("fma"):
        pytest.skip("the elementary functions of this machine give other numbers than those that were recorded")
    assert sorted(digest.differences(size)) == []


def test_every_result_is_the_recorded_one():
    check(digest.QUICK)


@pytest.mark.slow
def test_results_of_many_instances_are_the_recorded_ones():
    check(digest.FULL)
