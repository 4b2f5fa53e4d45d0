"""Gateways to machines and other systems."""
