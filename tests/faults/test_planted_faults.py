"""The planted faults can still be planted. Whether tests find them, `python -m tests.faults.planted_faults` says."""

import json

from tests.faults.planted_faults import FAULTS, RESULTS, check_that_faults_apply
from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone


def test_every_fault_can_be_planted():
    check_that_faults_apply()


def test_there_are_enough_faults_and_each_has_a_name_of_its_own():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 24


def test_the_committed_results_are_of_these_faults_and_none_was_missed():
    results = json.loads(RESULTS.read_text())
    assert [entry["name"] for entry in results["faults"]] == [fault.name for fault in FAULTS]
    assert all(entry["found_by"] for entry in results["faults"])
