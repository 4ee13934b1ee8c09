"""The built-in models, a file each; siblings never import each other."""
