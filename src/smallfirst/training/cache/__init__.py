"""What a semantic cache learns: the decision "same answer?", and from which probability on it may be served under the bound."""
