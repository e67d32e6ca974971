"""Who is told what, how often, and that silence is told too."""

from __future__ import annotations

import json
import smtplib
import socket
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from survey_samples import small

from archive.errors import JournalError
from archive.journal import Journal
from archive.rows import EventRow
from configs.errors import ConfigError
from instruments.clock import SimulatedClock
from surveys.night import open_night
from surveys.notices import Message, Notices
from surveys.notify import NotifySettings, Sender, secret
from surveys.runner import run_survey
from surveys.watching import watch


def row(number, kind, message="", **data):
    return EventRow(id=number, kind=kind, message=message, time_s=0.0, utc="", data=data)


def titles(messages):
    return [message.title.partition(": ")[2] for message in messages]


def test_trouble_is_said_once_counted_and_called_over():
    notices = Notices("night", quiet_s=100.0)
    assert titles(notices.take([row(1, "start", "go")], 0, 1.0, 0.0)) == ["begins"]
    fault = [row(2, "fault", "stage stuck", error="ReachError")]
    assert titles(notices.take(fault, 5, 1.0, 10.0)) == ["ReachError"]
    assert notices.take(fault * 7, 6, 1.0, 20.0) == []  # the same again: held back
    assert titles(notices.take([row(9, "fault", "hot", error="Busy")], 6, 1.0, 21.0)) == ["Busy"]
    assert titles(notices.take([], 8, 1.0, 30.0)) == ["recovered"]
    assert titles(notices.take([], 9, 1.0, 31.0)) == ["recovered"]
    (again,) = notices.take(fault, 20, 1.0, 200.0)
    assert again.title == "night: ReachError" and "7 more of this" in again.text
    (end,) = notices.take([row(30, "end", "stopped by Ada", reason="stopped")], 21, None, 300.0)
    assert end.severity == "alarm" and titles([end]) == ["ended early"]


@pytest.mark.parametrize("heard_s", [None, 500.0])
def test_silence_is_an_alarm_once_and_its_end_is_told(heard_s):
    notices = Notices("night", silent_s=120.0)
    assert notices.take([], 1, 119.0, 0.0) == []
    (alarm,) = notices.take([], 1, heard_s, 10.0)
    assert alarm.severity == "alarm" and alarm.key == "silence"
    assert notices.take([], 1, heard_s, 20.0) == []
    assert titles(notices.take([], 1, 2.0, 30.0)) == ["is heard again"]


def test_a_finished_survey_is_watched_to_its_end_and_what_was_not_sent_is_sent_again(tmp_path):
    run_survey(open_night(small(), tmp_path / "night"))
    clock, sent, down = SimulatedClock(), [], [True, True, False]

    def send(message: Message) -> list[str]:
        if down and down.pop(0):
            return ["hook: URLError"]
        sent.append(message)
        return []

    last = watch(tmp_path / "night", send, clock, quiet_s=60.0, silent_s=60.0)
    assert titles(sent) == ["begins", "ended"] and last == sent[-1] and clock.now_s() == 10.0


def test_a_survey_that_was_resumed_is_watched_on(tmp_path):
    """The first read holds the end before the resume, too."""
    night = tmp_path / "night"
    run_survey(open_night(small(), night))
    with closing(Journal(night / "journal.sqlite")) as journal:
        journal.event("start", "goes on", time_s=1.0, data={})
    sent = []

    class Ends(SimulatedClock):
        def wait(self, seconds):
            super().wait(seconds)
            if self.now_s() == 10.0:
                with closing(Journal(night / "journal.sqlite")) as journal:
                    journal.event("end", "stopped by Ada", time_s=2.0, data={"reason": "stopped"})

    clock = Ends()
    last = watch(night, lambda message: sent.append(message) or [], clock, quiet_s=60.0, silent_s=60.0)
    assert titles(sent) == ["begins", "begins", "is silent", "ended early"] and last.text == "stopped by Ada"
    assert clock.now_s() == 10.0


@pytest.mark.parametrize(("gone_s", "said"), [(10.0, []), (30.0, ["cannot be watched", "is read again"])])
def test_a_record_that_cannot_be_read_for_a_while_is_read_again(tmp_path, gone_s, said):
    night, sent = tmp_path / "night", []
    run_survey(open_night(small(), night))
    with closing(Journal(night / "journal.sqlite")) as journal:
        journal.event("start", "goes on", time_s=1.0, data={})
    kept, away = night / "journal.sqlite", night / "away"

    class Moves(SimulatedClock):
        def wait(self, seconds):
            super().wait(seconds)
            if self.now_s() == 5.0:
                kept.rename(away)
            elif self.now_s() == 5.0 + gone_s:
                away.rename(kept)
            elif self.now_s() == 60.0:
                with closing(Journal(kept)) as journal:
                    journal.event("end", "done", time_s=2.0, data={"reason": "complete"})

    watch(night, lambda message: sent.append(message) or [], Moves(), quiet_s=60.0, silent_s=20.0)
    assert titles(sent) == ["begins", "begins", "is silent", *said, "ended"]
    kept.unlink()
    with pytest.raises(JournalError):  # there was never anything to watch
        watch(night, lambda message: [], SimulatedClock(), quiet_s=60.0, silent_s=20.0)


class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture
def hook():
    server = HTTPServer(("127.0.0.1", 0), Hook)
    server.bodies, server.answer = [], 204
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_hook_hears_it_and_the_address_is_never_told(hook, tmp_path):
    kept = tmp_path / "hook"
    kept.write_text(f"http://127.0.0.1:{hook.server_port}/very-secret\n")
    kept.chmod(0o600)
    sender = Sender(NotifySettings.model_validate({"hook": {"url_from": f"file:{kept}"}}))
    message = Message(key="k", severity="alarm", title="night: is silent", text="see to it")
    assert sender.send(message) == []
    assert hook.bodies == [{"title": "night: is silent", "text": "see to it", "severity": "alarm"}]
    hook.answer = 500
    assert sender.send(message) == ["hook: HTTPError"]


def test_an_answer_that_is_no_http_is_trouble_and_not_the_end_of_watching(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer():
            caller, _ = server.accept()
            with caller:
                caller.recv(4000)
                caller.sendall(b"\x15\x03\x01\x00\x02\x02\x28garbage\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        monkeypatch.setenv("HOOK", f"http://127.0.0.1:{port}/very-secret")
        sender = Sender(NotifySettings.model_validate({"hook": {"url_from": "env:HOOK"}}))
        assert sender.send(Message(key="k", severity="alarm", title="t", text="x")) == ["hook: BadStatusLine"]
        thread.join()


@pytest.mark.parametrize("address", [
    "https://hooks.example.org/T00 very-secret", "https://hooks.example.org:very-secret/x",
    "https://hooks.example.org/very\x07-secret", "https:///very-secret", "https://[very-secret/x", "very-secret",
    "https://hooks.example.org/very-secret-\u00e9", "https://hooks.example.org:99999/very-secret",
])  # fmt: skip
def test_an_address_that_is_none_is_refused_without_telling_it(address, monkeypatch):
    monkeypatch.setenv("HOOK", address)
    with pytest.raises(ConfigError, match="the hook's address") as refused:
        Sender(NotifySettings.model_validate({"hook": {"url_from": "env:HOOK"}}))
    assert "secret" not in str(refused.value)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise's own, as it is read
def test_other_services_hear_it_through_apprise(hook, tmp_path, monkeypatch):
    pytest.importorskip("apprise", reason="the extra 'notify' is not installed")
    from surveys.notify_apprise import services

    monkeypatch.setenv("TELL", f"json://127.0.0.1:{hook.server_port}/very-secret\n")
    settings = NotifySettings.model_validate({"apprise": {"urls_from": "env:TELL"}})
    sender = Sender(settings, services(settings.apprise))
    message = Message(key="k", severity="alarm", title="night: is silent", text="see to it")
    assert sender.send(message) == []
    ((said,)) = hook.bodies
    assert (said["title"], said["message"], said["type"]) == ("night: is silent", "see to it", "failure")
    hook.answer = 500
    assert sender.send(message) == ["apprise: ConnectionError"]
    monkeypatch.setenv("TELL", "nowhere://very-secret")
    with pytest.raises(ConfigError, match="address 1 of 1") as refused:
        services(settings.apprise)
    assert "secret" not in str(refused.value)


def test_a_mail_server_that_is_gone_is_trouble_in_words(monkeypatch):
    monkeypatch.setenv("MAIL_SECRET", "s3cret")
    mail = {"host": "127.0.0.1", "port": 9, "sender": "a@example.org", "to": ["b@example.org"],
            "user": "a", "password_from": "env:MAIL_SECRET"}  # fmt: skip
    sender = Sender(NotifySettings.model_validate({"mail": mail}))
    (trouble,) = sender.send(Message(key="k", severity="warning", title="t\nBcc: x", text="words"))
    assert trouble.startswith("mail: ") and "s3cret" not in trouble


def test_what_a_mail_says(monkeypatch):
    sent = []

    class Server(smtplib.SMTP):
        def __init__(self, host, port, **options):
            super().__init__()
            sent.append((host, port, options["context"].verify_mode.name))

        def login(self, user, password):
            sent.append((user, password))

        def send_message(self, message):
            sent.append((message["Subject"], message["To"], message.get_content()))

        def __exit__(self, *error):
            return None

    monkeypatch.setattr(smtplib, "SMTP_SSL", Server)
    monkeypatch.setenv("MAIL_SECRET", "s3cret")
    mail = {"host": "mail", "sender": "a@b", "to": ["c@d", "e@f"], "user": "a", "password_from": "env:MAIL_SECRET"}
    sender = Sender(NotifySettings.model_validate({"mail": mail}))
    assert sender.send(Message(key="k", severity="warning", title="n: stuck\nBcc: x@y", text="words")) == []
    assert sent == [("mail", 465, "CERT_REQUIRED"), ("a", "s3cret"),
                    ("warning: n: stuck Bcc: x@y", "c@d, e@f", "words\n")]  # fmt: skip


def test_a_secret_that_others_can_read_is_refused(tmp_path, monkeypatch):
    kept = tmp_path / "secret"
    kept.write_text("s3cret")
    kept.chmod(0o644)
    monkeypatch.delenv("NOT_THERE", raising=False)
    for source, told in (
        (f"file:{kept}", "chmod 600"), ("env:NOT_THERE", "has no NOT_THERE"), ("s3cret", "never the secret itself"),
        (f"file:{tmp_path}/none", "cannot be read"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=told) as error:
            secret(source)
        assert "s3cret" not in str(error.value)
    with pytest.raises(ValueError, match="nobody would be told"):
        NotifySettings.model_validate({})
