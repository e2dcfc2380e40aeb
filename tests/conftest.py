"""What every test may rely on."""

import signal

# A shell starts background commands with SIGINT ignored, which processes inherit; tests send it, as Ctrl-C does.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
