"""The built-in corruptors, a file each; siblings never import each other."""
