"""Which rung a call is put to: what a router says of it, its thresholds, guards, and where its conversation stands."""
