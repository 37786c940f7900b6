"""The planted faults can still be planted. Whether tests find them, `python tests/planted_faults.py` says."""

from planted_faults import FAULTS, check_that_faults_apply


def test_every_fault_can_be_planted():
    check_that_faults_apply()


def test_there_are_enough_faults_and_each_has_a_name_of_its_own():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 24
