"""What larger models teach smaller ones: their answers as references (distillation), and examples that they write (synthesis)."""
