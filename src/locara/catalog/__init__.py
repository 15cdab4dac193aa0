"""Which files make a model, and where they lie: rows of data, the store on disk, pulling, and what fits a machine.

What may live here: nothing that knows an engine, a device or a session. A row names its engine by a word; whoever builds
a session looks the row up, asks the store for its folder and hands both to the engine as options.
"""
