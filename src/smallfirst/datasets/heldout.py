"""The held-out part of a dataset. Only `gate/` may import this module: the import contracts say so."""
