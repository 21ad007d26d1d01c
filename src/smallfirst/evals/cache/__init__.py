"""`cache eval`: a stream replayed through the cache as it serves, and through other rules beside it."""
