"""Numbers that several densities share."""

import math

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
