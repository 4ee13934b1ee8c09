"""The built-in scorers, a file each; siblings never import each other."""
