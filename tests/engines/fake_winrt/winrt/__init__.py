"""A stand-in for the packages winrt-*, with the names of their type stubs: what Locara calls, and nothing else. It is put on
the PYTHONPATH of the worker, so that the worker is the real one. ``FAKE_WINRT`` says what goes wrong."""
