"""What standard deviations may be, so that their squares, and the inverses of these, are float32 numbers."""

import math

LARGEST_LOG_STDDEV = 40.0
SMALLEST_STDDEV = math.exp(-LARGEST_LOG_STDDEV)
