"""What a call costs in CPU: smallfirst beside its peers, on one machine in one run (`make bench`)."""
