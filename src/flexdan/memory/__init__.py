"""Memory planning: what a training needs, before it is paid for."""
