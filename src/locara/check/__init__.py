"""``locara check``: an app's source against its manifest. The source is read, never run.

What may live here: reading source of a language (`python_source`, `javascript_source`), what a call may say (`calls`,
`rules`), and the report. It is a lint against mistakes; the run time holds the same rules and decides.
"""
