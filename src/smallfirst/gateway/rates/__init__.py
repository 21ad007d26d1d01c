"""Rate limits: how fast keys, tenants, tasks and the whole gateway may be called."""
