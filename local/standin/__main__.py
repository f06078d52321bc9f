"""``python -m local.standin --port 9000``: serve the stand-in until Ctrl-C or SIGTERM."""

import argparse
from datetime import date

from local.standin.server import TODAY, server


def main() -> None:
    """Serve in the foreground."""
    parser = argparse.ArgumentParser(prog="standin", description="A stand-in for OpenAI's API.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--today", type=date.fromisoformat, default=TODAY, help="its own date")
    options = parser.parse_args()
    server(options.host, options.port, options.today).run()


if __name__ == "__main__":
    main()
