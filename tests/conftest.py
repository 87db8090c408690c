"""What every test process needs."""

from __future__ import annotations

import signal

# A process that was started in the background ignores Ctrl-C, and so would each child of the tests that send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
