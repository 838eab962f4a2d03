"""``python -m flexdan`` is the ``flexdan`` command."""

from flexdan.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
