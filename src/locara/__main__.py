"""``python -m locara`` is the ``locara`` command."""

from locara.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
