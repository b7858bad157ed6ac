"""Receives webhooks of the product aggregator: verifies each message, takes it once, and prints it.

    WEBHOOK_SECRET=whsec_… python webhook_receiver.py [PORT [STATE_FILE]]

Needs Python 3.11 and standardwebhooks. The secret is what creating the webhook answered; while it is being changed,
give both, separated by a space. In production it stands behind a reverse proxy that speaks HTTPS.
"""

import json
import os
import signal
import sqlite3
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

LARGEST_BODY = 1_000_000
TABLE = "CREATE TABLE IF NOT EXISTS taken (id TEXT PRIMARY KEY, at TEXT DEFAULT CURRENT_TIMESTAMP) STRICT"


class Receiver(ThreadingHTTPServer):
    """What the requests have in common."""

    daemon_threads = True

    def __init__(self, port: int, state_file: str, secrets: list[str]) -> None:
        super().__init__(("127.0.0.1", port), Request)
        self.webhooks = [Webhook(secret) for secret in secrets]
        self.state = sqlite3.connect(state_file, check_same_thread=False)
        self.state.execute(TABLE)
        self.one_at_a_time = threading.Lock()

    def verified(self, body: bytes, headers: dict[str, str]) -> dict:
        """The message, if one of the secrets signed it within the last five minutes.

        Raises:
            WebhookVerificationError, ValueError: it is none of ours.
        """
        for webhook in self.webhooks[:-1]:
            try:
                return webhook.verify(body, headers)
            except WebhookVerificationError:
                pass  # perhaps by the next one
        return self.webhooks[-1].verify(body, headers)

    def take(self, message_id: str, message: dict) -> None:
        """Do what is to be done with a message, unless that has been done: it may come more than once."""
        with self.one_at_a_time, self.state:  # what is done, and that it is done, are one transaction
            if self.state.execute("INSERT INTO taken (id) VALUES (?) ON CONFLICT DO NOTHING", [message_id]).rowcount:
                print(json.dumps({"id": message_id, **message}, ensure_ascii=False), flush=True)


class Request(BaseHTTPRequestHandler):
    """One message. Any answer but 2xx has it sent again, and 410 would end the webhook."""

    server: Receiver
    timeout = 10  # seconds that the sender may take

    def do_POST(self) -> None:
        """Verify, take, answer."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            self.answer(413)
            return
        body = self.rfile.read(int(length))  # the very bytes: another way to write the same JSON has another signature
        try:
            message = self.server.verified(body, dict(self.headers))
        except (WebhookVerificationError, ValueError) as error:
            say(f"refused: {error}")
            self.answer(400)
            return
        self.server.take(self.headers["webhook-id"], message)
        self.answer(204)

    def answer(self, status: int) -> None:
        """Answer with nothing but a status."""
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log no requests: what is worth telling is told above."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(port: str = "8080", state_file: str = "webhooks.sqlite3") -> None:
    secrets = os.environ.get("WEBHOOK_SECRET", "").split()
    if not secrets:
        sys.exit("WEBHOOK_SECRET is missing: the secret that creating the webhook answered")
    receiver = Receiver(int(port), state_file, secrets)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=receiver.shutdown).start())
    say(f"receiving on port {receiver.server_port}")
    receiver.serve_forever()
    receiver.server_close()
    receiver.state.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
