"""The signals that ask a run to save and stop."""

import signal

ENDING = (signal.SIGINT, signal.SIGTERM)  # a second one of these ends at once
# A terminal that closes (ssh), and what batch systems and the kernel send before or after a time limit. They come more
# than once without anybody being impatient: SIGXCPU every second, SIGHUP from the shell and from the kernel.
SIGNALS = (*ENDING, signal.SIGHUP, signal.SIGUSR1, signal.SIGXCPU)
