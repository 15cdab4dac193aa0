"""Whole conversations in the rig: the session from its microphone to its speaker, in virtual time."""
