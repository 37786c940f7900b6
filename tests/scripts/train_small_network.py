"""Runs scripts/train_lenet5.py as it is, but for a network that compiles in a second."""

import sys

import tfp_bnn as bnn
from tests.scripts.script_runs import SCRIPTS, quick_network

sys.path.insert(0, str(SCRIPTS))

import train_lenet5
from common import reporting

bnn.models.lenet5 = quick_network
reporting.exit_on_error(train_lenet5.main)
