"""Where answers are kept: in a file of the state directory, or in Redis where gateways share them."""
