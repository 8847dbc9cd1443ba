"""Watches: who hears of which change, and how it is sent."""
