"""Models: specs, configs, one interface, and the numpy engine."""
