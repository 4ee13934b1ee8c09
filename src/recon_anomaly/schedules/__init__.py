"""The built-in schedules, a file each; siblings never import each other."""
