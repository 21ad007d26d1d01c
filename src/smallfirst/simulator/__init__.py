"""The simulated frontier: a provider stand-in and fault injector that runs as its own process.

It shares no code with the rest of smallfirst: its own tokens, prices, money and wire formats, so that an
invoice that agrees with the gateway's ledger is evidence and not an echo.
Start it with ``python -m smallfirst.simulator``.
"""
