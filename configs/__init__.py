"""YAML files and their strict loader."""
