"""From a comparison on held-out examples to a verdict, and the controller that rolls a release out and back."""
