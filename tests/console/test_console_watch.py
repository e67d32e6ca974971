"""`adaptem watch` at the command line."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from console_helpers import adaptem, refused


class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.count += 1
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture
def config(tmp_path, monkeypatch):
    server = HTTPServer(("127.0.0.1", 0), Hook)
    server.count = 0
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{server.server_port}/")
    path = tmp_path / "notify.yaml"
    path.write_text("hook: {url_from: env:HOOK}\n")
    yield path, server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_test_message_arrives_and_a_finished_survey_is_told_of(finished, config):
    path, server = config
    assert adaptem("watch", finished, "--notify", path, "--test").stdout == "sent\n"
    result = adaptem("watch", finished, "--notify", path)
    assert result.exit_code == 0 and "ended" in result.stdout and server.count == 3


def test_what_is_wrong_is_one_line(finished, tmp_path):
    path = tmp_path / "notify.yaml"
    path.write_text("hook: {url_from: https://example.org/secret}\n")
    told = refused(adaptem("watch", finished, "--notify", path))
    assert "never the secret itself" in told and "example.org" not in told
    path.write_text("quiet_s: 5.0\n")
    assert "nobody would be told" in refused(adaptem("watch", finished, "--notify", path))
    path.write_text("hok: {}\n")
    assert "hook" in refused(adaptem("watch", finished, "--notify", path))
