"""Answers to calls that ask the same in other words: found, judged, and served where that has been proven to be good enough."""
