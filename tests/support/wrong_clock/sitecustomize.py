"""Sets the clock of every Python process wrong by WRONG_CLOCK seconds. On tests' PYTHONPATH only.

Times of files stay those of the disk, as on a network disk, whose server has a clock of its own.
"""

import os
import time

WRONG = float(os.environ["WRONG_CLOCK"])
right = time.time
time.time = lambda: right() + WRONG
time.time_ns = lambda: int(time.time() * 1e9)
