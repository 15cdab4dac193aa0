"""Whole sessions on the real embedded engines: nothing scripted but the user's voice."""
