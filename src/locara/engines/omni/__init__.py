"""Models that hear and speak, each as a `locara.engines.backend.VoiceBackend`: in a process of their own, or at a server.

Importing this package imports nothing heavy: its workers are read in other environments.
"""
