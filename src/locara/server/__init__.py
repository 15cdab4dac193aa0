"""The runtime server: Locara's own protocol, OpenAI's Realtime and REST, a web page, each a door to the same sessions.

What may live here: doors (what is said on the wire), the guard before them, and the seats behind them. A conversation itself
is a `locara.voice` session; nothing here decides whose turn it is.
"""
