"""What an app says of itself in ``locara.toml``: what it is, what it does with sound, which models it uses.

What may live here: reading that file, and what follows from it. Whether a person has allowed it is `locara.consent`'s.
"""
