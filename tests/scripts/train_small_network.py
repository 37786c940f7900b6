"""Runs scripts/train_lenet5.py as it is, but for a network that compiles in a second."""

import tfp_bnn as bnn
from scripts import train_lenet5
from scripts.common import reporting
from tests.scripts.script_runs import quick_network

bnn.models.lenet5 = quick_network
reporting.exit_on_error(train_lenet5.main)
