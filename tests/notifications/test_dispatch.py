"""Who is told of what, and that each is told once: a real mail server, the store on disk."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path
from threading import Thread

import pytest

from entra_pipeline.errors import ConfigurationError, StoreError
from entra_pipeline.notifications import Undelivered, dispatch, profile_rows, send_test
from entra_pipeline.project import Project
from entra_pipeline.reports.job import job_report
from entra_pipeline.reports.rendering.html import as_html
from entra_pipeline.store.events import announce
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.running_jobs import recorded
from tests.notifications.conftest import Hook, MakeProject
from tests.support.aging import AgingFiles
from tests.support.post_office import PostOffice
from tests.support.writing import Time

# The server that is encrypted from the start does not know that it is: TLS is done before it.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

Stores = Callable[..., ScopeStore]
STATUSES = ["finished", "finished with exception", "failed"]
TITLES = {"backup": "Backup", "restore": "Restore", "prune": "Pruning"}
TWO_PROFILES = """
[notifications.operations]
to = ["operations@example.com"]
backup = ["failed", "finished with exception"]
restore = ["finished", "finished with exception", "failed"]

[notifications.records]
to = ["records@example.com"]
backup = ["finished", "failed"]
prune = ["finished with exception"]
"""
WANTED = {
    "operations": {("backup", "failed"), ("backup", "finished with exception"), *(("restore", s) for s in STATUSES)},
    "records": {("backup", "finished"), ("backup", "failed"), ("prune", "finished with exception")},
}


def end(store: ScopeStore, time: Time, kind: str, status: str, *, run_id: str = "") -> str:
    """A job that ends as told; its id."""
    with suppress(StoreError), recorded(store, kind, trigger="command", run_id=run_id, clock=time) as job:
        time.pass_(minutes=3)
        if status == "failed":
            raise StoreError("the storage <b>cannot</b> be reached")
        job.status = status
        job.details = {"recovery_point": "", "objects": 1200}
    return job.id


def parts(mail: EmailMessage) -> dict[str, str]:
    """Content of a mail by its type; `report` is the attached file."""
    return {
        "report" if part.get_filename() else part.get_content_type(): part.get_content()
        for part in mail.walk()
        if not part.is_multipart()
    }


def test_every_profile_is_told_of_what_it_asks_for(
    make_project: MakeProject, post_office: PostOffice, stores: Stores, time: Time
) -> None:
    project = make_project(TWO_PROFILES, post_office.table())
    store = stores(project)
    for kind in TITLES:
        for status in STATUSES:
            end(store, time, kind, status)
    result = dispatch(project, store.files, clock=time)
    assert (result.problems, result.waiting) == ([], 0)
    assert post_office.told() == sorted(
        (f"{profile}@example.com", f"{TITLES[kind]} of contoso {status}")
        for profile, wanted in WANTED.items()
        for kind, status in wanted
    )
    assert dispatch(project, store.files, clock=time).sent == 0
    assert len(post_office.mails) == 8


def test_a_mail_says_what_happened_in_html_and_in_text_with_the_report_attached(
    make_project: MakeProject, post_office: PostOffice, stores: Stores, time: Time
) -> None:
    project = make_project(TWO_PROFILES, post_office.table())
    store = stores(project)
    job = end(store, time, "restore", "failed")
    dispatch(project, store.files, clock=time)
    [mail] = post_office.mails
    told = parts(mail)
    assert set(told) == {"text/plain", "text/html", "report"}
    assert "the storage <b>cannot</b> be reached" in told["text/plain"]
    assert "Duration: 3 min 0 s" in told["text/plain"]
    for page in (told["text/html"], told["report"]):
        assert "the storage &lt;b&gt;cannot&lt;/b&gt; be reached" in page
        assert job in page
    assert told["report"].splitlines() == as_html(job_report(store, store.jobs.all()[0], time())).splitlines()
    assert mail["Auto-Submitted"] == "auto-generated"
    assert str(mail["Message-ID"]).endswith("@example.com>")


def test_the_report_stays_away_when_it_is_not_wanted(
    make_project: MakeProject, post_office: PostOffice, stores: Stores, time: Time
) -> None:
    profiles = TWO_PROFILES.replace("[notifications.records]", "attach_report = false\n[notifications.records]")
    project = make_project(profiles, post_office.table())
    end(stores(project), time, "restore", "finished")
    dispatch(project, stores(project).files, clock=time)
    assert set(parts(post_office.mails[0])) == {"text/plain", "text/html"}


def test_a_server_that_is_down_gets_the_mail_later_and_once(
    make_project: MakeProject, post_office: PostOffice, stores: Stores, time: Time
) -> None:
    project = make_project(TWO_PROFILES, post_office.table())
    store = stores(project)
    post_office.shut()
    job = end(store, time, "backup", "failed")
    result = dispatch(project, store.files, clock=time)
    assert (result.sent, result.waiting, len(result.problems)) == (0, 2, 2)
    assert "cannot be reached" in result.problems[0]
    assert [(one.id, one.status) for one in store.jobs.all()] == [(job, "failed")]
    assert [row["waiting"] for row in profile_rows(project)] == [1, 1]
    assert "mail.host" in profile_rows(project)[0]["problem"]
    # Before its time nothing is tried: the server is not pressed.
    assert dispatch(project, store.files, clock=time).problems == []
    post_office.open()
    time.pass_(minutes=2)
    assert dispatch(project, store.files, clock=time).sent == 2
    time.pass_(hours=2)
    assert dispatch(project, store.files, clock=time).sent == 0
    assert post_office.told() == [
        ("operations@example.com", "Backup of contoso failed"),
        ("records@example.com", "Backup of contoso failed"),
    ]


def test_a_notice_that_cannot_be_sent_for_a_week_is_given_up(
    make_project: MakeProject, post_office: PostOffice, stores: Stores, time: Time
) -> None:
    project = make_project(TWO_PROFILES, post_office.table())
    store = stores(project)
    post_office.shut()
    end(store, time, "restore", "finished")
    tries = 0
    while dispatch(project, store.files, clock=time).waiting:
        tries += 1
        time.pass_(hours=4)
    assert 40 < tries < 46
    [record] = store.files.list("_notifications/sent/")
    assert b'"outcome":"given up"' in store.files.read(record.key)


def test_many_at_once_send_one_mail(
    make_project: MakeProject, post_office: PostOffice, stores: Stores, time: Time
) -> None:
    project = make_project(TWO_PROFILES, post_office.table())
    for scope in ("contoso", "fabrikam"):
        end(stores(project, scope), time, "restore", "finished")
    files = [stores(project).files for _ in range(4)]
    threads = [Thread(target=dispatch, args=(project, one), kwargs={"clock": time}) for one in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    dispatch(project, files[0], clock=time)
    assert [subject for _, subject in post_office.told()] == [
        "Restore of contoso finished",
        "Restore of fabrikam finished",
    ]


def test_the_same_event_again_is_not_told_again_but_another_outcome_is(
    make_project: MakeProject, post_office: PostOffice, stores: Stores, time: Time
) -> None:
    project = make_project(TWO_PROFILES, post_office.table())
    store = stores(project)
    job = end(store, time, "restore", "failed")
    dispatch(project, store.files, clock=time)
    [record] = store.jobs.all()
    announce(store, record.members())
    dispatch(project, store.files, clock=time)
    assert len(post_office.mails) == 1
    # A restore that was interrupted has gone on under the same id.
    announce(store, {**record.members(), "status": "finished", "error": ""})
    dispatch(project, store.files, clock=time)
    assert [mail["Subject"] for mail in post_office.mails] == [
        "Restore of contoso failed",
        "Restore of contoso finished",
    ]
    assert job


def test_what_is_part_of_a_run_is_left_to_dagster_for_some_hours(
    make_project: MakeProject, post_office: PostOffice, stores: Stores, time: Time
) -> None:
    project = make_project(TWO_PROFILES, post_office.table())
    store = stores(project)
    end(store, time, "restore", "finished", run_id="a-run")
    assert dispatch(project, store.files, clock=time).sent == 0
    assert dispatch(project, store.files, ready=lambda event: event["run_id"] == "a-run", clock=time).sent == 1
    end(store, time, "restore", "failed", run_id="another-run")
    time.pass_(hours=7)
    assert dispatch(project, store.files, clock=time).sent == 1


def test_an_old_event_is_not_told(
    make_project: MakeProject, post_office: PostOffice, stores: Stores, time: Time
) -> None:
    project = make_project(TWO_PROFILES, post_office.table())
    store = stores(project)
    end(store, time, "restore", "failed")
    time.pass_(days=8)
    assert dispatch(project, store.files, clock=time).waiting == 0
    assert post_office.mails == []


def test_what_was_sent_is_known_for_as_long_as_it_could_be_told_again(
    make_project: MakeProject, post_office: PostOffice, time: Time, tmp_path: Path
) -> None:
    project = make_project(TWO_PROFILES, post_office.table())
    files = AgingFiles(tmp_path / "backup", time)
    store = ScopeStore(files, "contoso", time)
    jobs = []
    for days in (13, 2, 0):
        jobs.append(end(store, time, "restore", "failed"))
        assert dispatch(project, files, clock=time).sent == 1
        time.pass_(days=days)
    known = [file.key for file in files.list("_notifications/sent/")]
    assert [key.split("/")[3] for key in known] == jobs[1:]
    for record in store.jobs.all():
        announce(store, record.members())
    assert dispatch(project, files, clock=time).sent == 0
    assert len(post_office.mails) == 3


DIGEST = """
[notifications.daily]
to = ["chief@example.com", "deputy@example.com"]
backup = ["finished", "finished with exception", "failed"]
digest = "daily"
digest_at = "07:00"
timezone = "Europe/Stockholm"
"""


def test_a_digest_collects_a_day_and_goes_at_its_time(
    make_project: MakeProject, post_office: PostOffice, stores: Stores, time: Time
) -> None:
    project = make_project(DIGEST, post_office.table())
    files = stores(project).files
    for scope, status in (("contoso", "finished"), ("fabrikam", "failed"), ("contoso", "finished")):
        end(stores(project, scope), time, "backup", status)
        time.pass_(hours=4)
        assert dispatch(project, files, clock=time).sent == 0
    # The clock of the tests starts at 06:00 in Stockholm, and the first look was at 10:00.
    time.pass_(hours=13)
    dispatch(project, files, clock=time)
    subjects = [str(mail["Subject"]) for mail in post_office.mails]
    assert subjects == ["Daily digest: 1 failed, 2 finished"]
    [mail] = post_office.mails
    told = parts(mail)
    assert set(told) == {"text/plain", "text/html"}
    assert mail["To"] == "chief@example.com, deputy@example.com"
    assert "Backup of fabrikam failed" in told["text/html"]
    assert "cannot&lt;/b&gt; be reached" in told["text/html"]
    time.pass_(days=1)
    dispatch(project, files, clock=time)
    assert len(post_office.mails) == 1


@pytest.mark.parametrize("form", ["teams", "slack"])
def test_a_webhook_gets_the_form_of_its_service_and_its_address_is_never_told(
    make_project: MakeProject, hook: Hook, stores: Stores, time: Time, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", hook.url)
    profile = f'[notifications.chat]\nrestore = ["failed"]\nwebhook = {{ url = {{ env = "HOOK" }}, format = "{form}" }}'
    project = make_project(profile, "")
    store = stores(project)
    end(store, time, "restore", "failed")
    hook.status = 500
    [problem] = dispatch(project, store.files, clock=time).problems
    assert "status 500" in problem
    assert "secret-path" not in problem
    hook.status = 200
    time.pass_(minutes=5)
    assert dispatch(project, store.files, clock=time).sent == 1
    assert len(hook.posted) == 2
    body = hook.posted[1]
    if form == "teams":
        [attachment] = body["attachments"]
        assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
        texts = [run["text"] for block in attachment["content"]["body"] for run in block["inlines"]]
        assert texts[:2] == ["Restore of contoso failed", "the storage <b>cannot</b> be reached"]
    else:
        assert body["text"] == "Restore of contoso failed"
        assert body["blocks"][0]["text"]["text"].endswith("the storage <b>cannot</b> be reached")
    assert not any(b"secret-path" in store.files.read(file.key) for file in store.files.list("_notifications/"))


def test_a_mail_that_some_addresses_refuse_is_not_sent_again_to_the_others(
    make_project: MakeProject, post_office: PostOffice, stores: Stores, time: Time
) -> None:
    project = make_project(TWO_PROFILES.replace('["op', '["gone@example.com", "op'), post_office.table())
    store = stores(project)
    post_office.refused = {"gone@example.com"}
    end(store, time, "restore", "finished")
    result = dispatch(project, store.files, clock=time)
    assert (result.sent, result.waiting) == (1, 0)
    assert "gone@example.com (550 no such mailbox)" in result.problems[0]
    with pytest.raises(Undelivered, match=r"notifications\.operations\.to: .*gone@example\.com"):
        send_test(project, "operations", time)


def test_a_test_message_arrives(make_project: MakeProject, post_office: PostOffice, time: Time) -> None:
    project = make_project(TWO_PROFILES, post_office.table())
    assert send_test(project, "records", time) == ["records@example.com"]
    assert post_office.told() == [("records@example.com", "Test of notification profile records")]


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        ({"username": "somebody"}, "mail.password", "refused to sign in"),
        ({"host": "localhost.localdomain.invalid"}, "mail.host", "cannot be reached"),
        ({"ca_bundle": ""}, "mail.host", "not trusted"),
        ({"ca_bundle": "absent.pem"}, "mail.ca_bundle", "absent.pem"),
        ({"tls": "other"}, "mail.tls", "does not support the tls setting"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else None,
)
def test_what_is_wrong_with_the_server_names_the_setting(
    make_project: MakeProject,
    post_office: PostOffice,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str],
    key: str,
    words: str,
) -> None:
    monkeypatch.setattr("entra_pipeline.channels.channel.TIMEOUT", 2.0)
    if change.get("tls"):
        change = {"tls": "starttls" if post_office.implicit else "implicit"}
    mail = post_office.table(**change)
    if change.get("ca_bundle") == "":
        mail = mail.replace('ca_bundle = ""\n', "")
    project: Project = make_project(TWO_PROFILES, mail)
    with pytest.raises(ConfigurationError) as caught:
        send_test(project, "records")
    if change.get("tls") == "starttls":
        # A server that speaks TLS at once, and is waited for to speak first, looks as if it were silent.
        assert caught.value.key in {"mail.host", "mail.tls"}
    else:
        assert caught.value.key == key
        assert words in str(caught.value)
    assert caught.value.remedy
    assert post_office.mails == []
