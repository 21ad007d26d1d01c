"""The data plane's front: HTTP, tenants, money and record around `answering`."""
