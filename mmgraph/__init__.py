"""Graph-aware multimodal representation learning."""
