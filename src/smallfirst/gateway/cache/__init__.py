"""The cache's part in a call: looked up, waited for, answered, kept; and what is learned from it off the call's path."""
