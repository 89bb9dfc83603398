"""One job for each run, however its creation fails, and however late the host's lists are."""

from __future__ import annotations

import contextlib
import logging
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.backends import registry
from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.backends.hosted.settling import boot_time, elapsed_s
from ftkit.backends.openai_jobs import HostProfile, OpenAIJobs
from ftkit.backends.openai_jobs.profiles import AZURE, BEDROCK_MANTLE, COMPATIBLE, LITELLM, OPENAI
from ftkit.backends.together import Together
from ftkit.cli.app import app
from ftkit.errors import FtkitError, HostError
from ftkit.store import Store

from .lagging_host import Clock, LaggingHost, Trouble
from .serving import Call, serving
from .together_host import TogetherFake

TROUBLES = get_args(Trouble)
CREATE = ("POST", "/v1/fine_tuning/jobs")


class Crash(BaseException):
    """The process dies here."""


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)


@pytest.fixture
def host(home: Path) -> Iterator[LaggingHost]:
    with serving(LaggingHost()) as fake:
        yield fake  # type: ignore[misc]


def backend(host: LaggingHost, profile: HostProfile = OPENAI, **policy: object) -> OpenAIJobs:
    return OpenAIJobs(
        "gpt-4.1-mini", profile=profile, base_url=f"{host.url}/v1", api_key=host.key,
        retry_policy=host.policy(**policy),
    )  # fmt: skip


def rows(name: str) -> ft.Dataset:
    task = ft.Task("Say which team.", input="{text}", output=ft.ChoiceOutput(choices=("red", "blue")))
    return ft.Dataset.from_rows(
        [{"text": f"{name} {number}", "team": "red"} for number in range(10)], task, target="team"
    )


def in_turn(*troubles: Trouble | None, path: str = CREATE[1]):
    """A trouble for each request to create a job, from the first one on."""
    left = iter(troubles)
    return lambda call: next(left, None) if call.path == path else None


def settled(run_id: str, where: OpenAIJobs, host: LaggingHost) -> ft.Run:
    """What a person does: look now and then, and resume what failed."""
    for _ in range(200):
        where.poll_schedule.reset()
        run = ft.runs.get(run_id)
        run._backend = where
        record = run.record
        if record.handle.get("job") and host.clock.now > record.handle["asked_boot"][1] + 300:
            return run
        host.clock.sleep(7.0)
        if record.state == "failed":
            with contextlib.suppress(FtkitError):
                run.resume()
    raise AssertionError(f"run {run_id} is lost: {Store().get(run_id)}")


def warnings(run: ft.Run) -> str:
    return "\n".join(event.data["message"] for event in Store().events(run.id) if event.kind == "warning")


@dataclass
class Chaos:
    """Submissions through troubles, and what became of them."""

    host: LaggingHost
    where: OpenAIJobs
    seed: int
    faults: float = 0.5
    runs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.host.trouble = self._trouble

    def _trouble(self, call: Call) -> Trouble | None:
        if self.chance.random() > self.faults:
            return None
        return self.chance.choice([one for one in TROUBLES if one != "crash"])

    def submit(self, number: int) -> None:
        """Submit in this process, which may die while it waits."""
        run_id = f"chaos-{self.seed}-{number}"
        crash = self.chance.random() < 0.2

        def sleep(seconds: float) -> None:
            self.host.clock.sleep(seconds)
            if crash and self.chance.random() < 0.3:
                self.host.faults["crash"] += 1
                raise Crash

        self.where.retry_policy = self.host.policy(sleep=sleep)
        with contextlib.suppress(FtkitError, Crash):
            ft.train(ft.SFT(epochs=1), rows(run_id), backend=self.where, run_id=run_id, lint=False)
        self.where.retry_policy = self.host.policy()
        self.runs.append(run_id)

    def submit_and_be_killed(self, number: int) -> None:
        """Submit in a process that the host kills with SIGKILL while it answers."""
        run_id = f"killed-{self.seed}-{number}"
        last, kinds = self.host.trouble, ("kill_after", "kill_before")

        def trouble(call: Call) -> Trouble | None:
            return kinds[number % 2] if (call.method, call.path) == CREATE else None

        self.host.trouble = trouble  # type: ignore[assignment]
        with subprocess.Popen(
            [sys.executable, "-m", "tests.hosts.submitter", self.host.url, self.host.key, run_id],
            cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            self.host.submitter = process.pid
            process.wait(300)
        assert process.returncode == -9
        self.host.trouble = last
        self.runs.append(run_id)

    def check(self) -> Counter[int]:
        """The number of runs by their number of jobs, after everybody has looked."""
        for run_id in self.runs:
            settled(run_id, self.where, self.host)
        jobs = Counter(job["training_file"] for job in self.host.open_jobs())
        assert {Store().get(run_id).handle["job"] for run_id in self.runs} == {
            job["id"] for job in self.host.open_jobs()
        }
        return Counter(jobs.values())


def test_twenty_submissions_have_one_job_each(host: LaggingHost) -> None:
    chaos = Chaos(host, backend(host), seed=1)
    for number in range(20):
        chaos.submit(number)
    assert chaos.check() == {1: 20}
    assert len(host.jobs) == 20, "none was created twice and cancelled"


def test_a_submitter_that_is_killed_has_one_job(host: LaggingHost) -> None:
    chaos = Chaos(host, backend(host), seed=2, faults=0.0)
    chaos.submit_and_be_killed(0)
    assert chaos.check() == {1: 1}
    assert len(host.jobs) == 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("drops", "count", "killed"), [
    ((), 280, 20), (("metadata",), 60, 0),
])  # fmt: skip
def test_three_hundred_submissions_have_one_job_each(
    host: LaggingHost, drops: tuple[str, ...], count: int, killed: int
) -> None:
    host.drops = drops
    chaos = Chaos(host, backend(host, COMPATIBLE if drops else OPENAI), seed=3)
    for number in range(count):
        chaos.submit(number)
    for number in range(killed):
        chaos.submit_and_be_killed(number)
    assert chaos.check() == {1: count + killed}
    assert len(host.jobs) == count + killed
    print(dict(sorted(host.faults.items())))  # the figures of docs/hosted.md


@pytest.mark.parametrize("trouble", [one for one in TROUBLES if one not in ("kill_after", "kill_before", "crash")])
@pytest.mark.parametrize("path", ["/v1/files", CREATE[1]])
def test_each_trouble_once_and_twice(host: LaggingHost, path: str, trouble: Trouble) -> None:
    host.trouble = in_turn(trouble, trouble, path=path)
    where = backend(host)
    with contextlib.suppress(HostError):
        ft.train(ft.SFT(epochs=1), rows("a"), backend=where, run_id="a")
    assert settled("a", where, host).record.handle["job"]
    assert len(host.jobs) == 1
    if path == "/v1/files":
        assert len([file for file in host.files.values() if file["purpose"] == "fine-tune"]) == 1


@pytest.mark.parametrize("profile", [OPENAI, AZURE, LITELLM, COMPATIBLE, BEDROCK_MANTLE], ids=lambda one: one.name)
def test_a_proxy_that_drops_the_metadata(host: LaggingHost, profile: HostProfile) -> None:
    host.drops = ("metadata",)
    host.trouble = in_turn("504_then_done")
    where = backend(host, profile)
    recipe = ft.SFT(epochs=1)
    if profile is BEDROCK_MANTLE:
        grader = ft.LambdaGrader(function="arn:aws:lambda:us-east-1:123456789012:function:f")
        where._check_job = lambda *arguments: None  # type: ignore[method-assign]  # it wants a hundred rows
        run = ft.train(ft.RFT(grader=grader), rows("a"), backend=where, lint=False)
    else:
        run = ft.train(recipe, rows("a"), backend=where)
    assert len(host.jobs) == 1
    assert run.record.handle["job"] in host.jobs


@pytest.mark.parametrize("profile", [OPENAI, COMPATIBLE], ids=lambda one: one.name)
def test_a_proxy_that_drops_metadata_and_suffix(home: Path, profile: HostProfile) -> None:
    """The name of the file has the key, at every address."""
    fake = LaggingHost()
    fake.drops = ("metadata", "user_provided_suffix")
    if profile is COMPATIBLE:
        fake.provider = None
    with serving(fake):
        chaos = Chaos(fake, backend(fake, profile), seed=5)
        for number in range(3):
            chaos.submit(number)
        assert chaos.check() == {1: 3}
        assert len(fake.jobs) == 3


def test_runs_of_the_same_rows_keep_their_jobs_apart(host: LaggingHost) -> None:
    host.drops = ("metadata", "user_provided_suffix")
    host.trouble = in_turn("504_then_done", None, "500_after")
    where = backend(host)
    runs = [ft.train(ft.SFT(epochs=n), rows("a"), backend=where) for n in (1, 2, 3)]
    assert {run.record.handle["job"] for run in runs} == set(host.jobs)
    assert len(host.jobs) == 3


@pytest.mark.parametrize("step_s", [-86_400.0, 86_400.0], ids=["back", "forward"])
@pytest.mark.parametrize("kind", ["job", "file"])
def test_the_wall_clock_may_be_set_while_a_request_is_under_way(host: LaggingHost, kind: str, step_s: float) -> None:
    """The submitter dies, the clock is set, and the next one looks before the host has done what it was asked."""
    host.lag_s, host.late_s = 0.0, 60.0
    host.chance = random.Random(1)
    path = CREATE[1] if kind == "job" else "/v1/files"
    host.trouble = in_turn("timeout", path=path)
    offset = [0.0]
    died: list[float] = []

    def sleep(seconds: float) -> None:
        if not died and host.faults["timeout"]:
            died.append(host.clock.now)
            raise Crash
        host.clock.sleep(seconds)

    where = backend(host, sleep=sleep, clock=lambda: host.clock.now + offset[0])
    with contextlib.suppress(Crash):
        ft.train(ft.SFT(epochs=1), rows("a"), backend=where, run_id="a")
    offset[0] = step_s
    began = host.clock.now
    if kind == "job":
        run = ft.runs.get("a")
        run._backend = where
        assert run.state == "queued", "it is not given up before the host's settling time has passed"
    run = settled("a", where, host)
    assert run.record.handle["job"] in host.jobs
    assert len(host.jobs) == 1
    assert len([file for file in host.files.values() if file["purpose"] == "fine-tune"]) == 1
    assert host.clock.now - began < 1200, "a clock that is set back does not make it wait for hours"


def test_elapsed_time_does_not_trust_the_wall_clock() -> None:
    assert elapsed_s(1000.0, ("a", 50.0), 1.0, ("a", 80.0)) == 30.0, "set back"
    assert elapsed_s(1000.0, ("a", 50.0), 9e9, ("a", 80.0)) == 30.0, "set forward"
    assert elapsed_s(1000.0, ("a", 50.0), 9e9, ("b", 7.0)) == 7.0, "the machine was started again 7 s ago"
    assert elapsed_s(1000.0, ("a", 50.0), 1003.0, ("b", 9e5)) == 3.0, "another machine"
    assert elapsed_s(1000.0, None, 1003.0, None) == 3.0
    assert elapsed_s(1000.0, None, 1.0, ("a", 80.0)) == 0.0
    here = boot_time()
    assert here is None or here[1] > 0


def test_a_job_without_its_key_is_noticed_at_once(host: LaggingHost) -> None:
    run = ft.train(ft.SFT(epochs=1), rows("a"), backend=backend(host))
    assert not warnings(run)
    host.drops = ("metadata",)
    run = ft.train(ft.SFT(epochs=1), rows("b"), backend=backend(host))
    assert "came back without the metadata that ftkit sent" in warnings(run)
    assert "finds it by its suffix" in warnings(run)


def test_a_suffix_of_the_users_is_kept_and_the_file_has_the_key(host: LaggingHost) -> None:
    host.drops = ("metadata",)
    host.trouble = in_turn("500_after")
    where = OpenAIJobs("gpt-4.1-mini", base_url=f"{host.url}/v1", api_key=host.key, extra={"suffix": "mine"},
                       retry_policy=host.policy())  # fmt: skip
    run = ft.train(ft.SFT(epochs=1), rows("a"), backend=where)
    (job,) = host.jobs.values()
    assert job["user_provided_suffix"] == "mine"
    assert run.record.handle["job"] == job["id"]


@pytest.mark.parametrize("first_shows", [True, False])
def test_a_second_job_is_said_and_the_later_is_cancelled(host: LaggingHost, first_shows: bool) -> None:
    """A host that is later than its settling time."""
    where = backend(host, settle_s=5.0)
    host.lag_s, host.late_s = 0.0, 0.0
    host.trouble = in_turn("500_after")
    create = host.answer

    def late(call: Call):
        reply = create(call)
        if (call.method, call.path) == CREATE and len(host.jobs) == 1:
            host._visible[next(iter(host.jobs))] = host.clock.now + 60
        return reply

    host.answer = late  # type: ignore[method-assign]
    run = ft.train(ft.SFT(epochs=1), rows("a"), backend=where)
    first, second = host.jobs
    assert run.record.handle["job"] == second
    host.clock.sleep(100 if first_shows else 20)
    where.poll_schedule.reset()
    run = ft.runs.get(run.id)
    run._backend = where
    assert run.record.handle["job"] == (first if first_shows else second)
    assert (host.jobs[second]["status"] == "cancelled") is first_shows
    assert ("two jobs of this run" in warnings(run)) is first_shows
    host.clock.sleep(1000)
    where.poll_schedule.reset()
    assert run.record.handle["job"] == first
    assert warnings(run).count("two jobs of this run") == 1
    assert run.wait(progress=False).state == "succeeded"


def test_a_proxy_that_repeats_the_request_is_noticed(host: LaggingHost) -> None:
    host.lag_s = 0.0
    where, answer = backend(host), host.answer

    def twice(call: Call):
        if (call.method, call.path) == CREATE:
            answer(call)
            host.clock.sleep(1)
        return answer(call)

    host.answer = twice  # type: ignore[method-assign]
    run = ft.train(ft.SFT(epochs=1), rows("a"), backend=where)
    first, second = host.jobs
    host.clock.sleep(200)
    where.poll_schedule.reset()
    assert run.record.handle["job"] == first
    assert host.jobs[second]["status"] == "cancelled"
    assert "later and is cancelled" in warnings(run)


def test_a_job_that_appears_after_the_submission_gave_up_is_found_by_resuming(host: LaggingHost) -> None:
    where = backend(host, settle_s=5.0, budget_s=1.0)
    host.chance.seed(1)
    host.lag_s = 0.0
    host.trouble = lambda call: (
        None if call.path != CREATE[1] else "500_before" if host.jobs else "500_after"
    )  # fmt: skip
    answer = host.answer

    def late(call: Call):
        reply = answer(call)
        host._visible |= dict.fromkeys(host.jobs, 1_800_000_050.0)
        return reply

    host.answer = late  # type: ignore[method-assign]
    with pytest.raises(HostError):
        ft.train(ft.SFT(epochs=1), rows("a"), backend=where, run_id="a")
    host.clock.sleep(60)
    run = ft.runs.get("a")
    run._backend = where
    assert run.resume().record.handle["job"] in host.jobs
    assert len(host.jobs) == 1


def test_a_host_without_a_list_of_jobs_is_not_asked_twice(host: LaggingHost) -> None:
    where = backend(host, COMPATIBLE)
    host.trouble = in_turn("reset_after")
    host.override = lambda call: (405, {"error": {"message": "no list"}}, {}) if call.method == "GET" and (
        call.path == CREATE[1]
    ) else None  # fmt: skip
    run = ft.train(ft.SFT(epochs=1), rows("a"), backend=where)
    for _ in range(5):
        run.state  # noqa: B018  (polls the host)
    assert run.state == "failed"
    assert "cannot be found out" in str(run.record.error)
    assert len(host.jobs) == 1


def test_cancelling_cancels_every_job(host: LaggingHost) -> None:
    where = backend(host, settle_s=5.0)
    host.lag_s, host.late_s = 0.0, 50.0
    host.trouble = in_turn("504_then_done")
    host.chance.seed(1)
    run = ft.train(ft.SFT(epochs=1), rows("a"), backend=where)
    host.clock.sleep(60)
    host.open_jobs()
    run.cancel()
    assert not host.open_jobs()


def test_a_host_with_idempotency_keys_is_asked_again_at_once(host: LaggingHost) -> None:
    profile = HostProfile("keyed", "", "KEYED_URL", ("KEYED_KEY",), idempotency_header="Idempotency-Key")
    replies: dict[str, object] = {}
    answer = host.answer

    def once(call: Call):
        key = call.headers.get("idempotency-key")
        if key is None:
            return answer(call)
        if key not in replies:
            replies[key] = answer(call)
        return replies[key]

    host.answer = once  # type: ignore[method-assign]
    host.trouble = in_turn("500_after", "reset_after", "500_before")
    began = host.clock.now
    run = ft.train(ft.SFT(epochs=1), rows("a"), backend=backend(host, profile))
    assert list(host.jobs) == [run.record.handle["job"]]
    assert host.clock.now - began < 10


def test_what_never_left_is_sent_again_at_once(home: Path, host: LaggingHost) -> None:
    """Without a connection nothing was created, so nothing is searched for."""
    policy = host.policy(budget_s=5.0)
    where = OpenAIJobs("gpt-4.1-mini", base_url="http://127.0.0.1:9/v1", api_key="k" * 12, retry_policy=policy)
    began = host.clock.now
    with pytest.raises(HostError, match="did not reach the host") as caught:
        ft.train(ft.SFT(epochs=1), rows("a"), backend=where)
    assert not caught.value.unsure
    assert host.clock.now - began == pytest.approx(5.0)


def test_a_proxy_without_the_routes_is_said_while_it_is_retried(
    host: LaggingHost, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has the refusal, and can be shown without the host's variable."""
    caplog.set_level(logging.WARNING, logger="ftkit.hosts")
    message = "this proxy has no route for it"
    host.override = lambda call: (500, {"error": {"message": message}}, {}) if call.path == CREATE[1] else None
    where = backend(host, LITELLM)
    with pytest.raises(HostError, match=message):
        ft.train(ft.SFT(epochs=1), rows("a"), backend=where, run_id="a")
    said = [record.getMessage() for record in caplog.records]
    assert any(message in one and "Tried" in one and "until" in one for one in said), said
    run = ft.runs.get("a")
    assert message in warnings(run)
    monkeypatch.delenv("LITELLM_BASE_URL", raising=False)
    shown = CliRunner().invoke(app, ["runs", "show", "a"])
    assert shown.exit_code == 0, shown.output
    assert "last refusal:" in shown.output
    assert message in shown.output


def test_the_command_says_what_is_retried(host: LaggingHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{host.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", host.key)
    monkeypatch.setattr("ftkit.backends.hosted.backend.RetryPolicy", host.policy)
    registry._created.cache_clear()
    rows("a").write_openai(tmp_path / "rows.jsonl")
    ft.SFT(epochs=1).to_yaml(tmp_path / "recipe.yaml")
    host.trouble = in_turn("504_then_done")
    arguments = ["train", str(tmp_path / "recipe.yaml"), "--data", str(tmp_path / "rows.jsonl"), "--detach",
                 "--backend", "openai:gpt-4.1-mini", "--no-lint"]  # fmt: skip
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert (
        "refused with 504. upstream request timeout. Tried once; it may have been created all the same" in done.stderr
    )
    assert len(host.jobs) == 1


def test_a_real_timeout_of_the_client(host: LaggingHost) -> None:
    where = backend(host)
    where.host().sdk.client = where.host().sdk.client.with_options(timeout=0.3)
    slow = [True]

    def trouble(call: Call) -> Trouble | None:
        if call.path == CREATE[1] and slow and slow.pop():
            time.sleep(0.6)
            return "504_then_done"
        return None

    host.trouble = trouble
    run = ft.train(ft.SFT(epochs=1), rows("a"), backend=where)
    assert "it timed out" in warnings(run)
    assert list(host.jobs) == [run.record.handle["job"]]


def test_a_proxy_without_a_licence_is_not_asked_again(host: LaggingHost) -> None:
    """A stock LiteLLM proxy answers with status 500 that fine-tuning needs a licence."""
    message = "You must be a LiteLLM Enterprise user to use this feature. Get a license at …"
    host.override = lambda call: (500, {"error": {"message": message}}, {}) if "fine_tuning" in call.path else None
    began = host.clock.now
    with pytest.raises(HostError, match=r"Enterprise user.*set the address to http://PROXY/openai/v1"):
        ft.train(ft.SFT(epochs=1), rows("a"), backend=backend(host, LITELLM))
    assert host.clock.now == began
    assert not host.files


@pytest.mark.parametrize(("path", "trouble", "drops"), [
    ("/v1/files", "504_then_done", ()), ("/v1/files", "500_before", ()),
    ("/v1/batches", "504_then_done", ()), ("/v1/batches", "500_after", ()), ("/v1/batches", "500_before", ()),
    ("/v1/batches", "504_then_done", ("metadata",)), ("/v1/batches", "reset_after", ("metadata",)),
])  # fmt: skip
def test_batches_too(host: LaggingHost, path: str, trouble: Trouble, drops: tuple[str, ...]) -> None:
    host.drops, host.answers = drops, lambda text: "red"
    host.trouble = in_turn(trouble, path=path)
    model = ft.Model(backend(host), rows("a").task)
    report = ft.evaluate(model, rows("a"), batch=True, probes=None, progress=False)
    assert report["accuracy"].value == 1.0
    assert len(host.batches.all) == 1
    assert len([file for file in host.files.values() if file["purpose"] == "batch"]) == 0, "its file is deleted"


def test_a_second_batch_is_cancelled(host: LaggingHost, caplog: pytest.LogCaptureFixture) -> None:
    host.lag_s, host.answers = 0.0, lambda text: "red"
    answer = host.answer

    def twice(call: Call):
        if (call.method, call.path) == ("POST", "/v1/batches"):
            answer(call)
            host.clock.sleep(1)
        return answer(call)

    host.answer = twice  # type: ignore[method-assign]
    host.trouble = in_turn("reset_after", path="/v1/batches")
    ft.evaluate(ft.Model(backend(host), rows("a").task), rows("a"), batch=True, probes=None, progress=False)
    assert [batch["status"] for batch in host.batches.all.values()] == ["completed", "cancelled"]
    assert "two batches of the same requests" in caplog.text


def test_together_lists_late_too(home: Path) -> None:
    clock = Clock()
    policy = RetryPolicy(poll_s=(0.0, 0.0), sleep=clock.sleep, clock=lambda: clock.now)
    with serving(TogetherFake()) as fake:
        lost, began = ["500_after"], clock.now
        fake.fault = lambda call: (
            lost.pop() if lost and (call.method, call.path) == ("POST", "/v1/fine-tunes") else None
        )
        fake.override = lambda call: (
            (200, {"data": []}, {})
            if (call.method, call.path) == ("GET", "/v1/fine-tunes") and clock.now < began + 30
            else None
        )
        where = Together("Qwen/Qwen3.5-9B", base_url=fake.url, api_key=fake.key, retry_policy=policy)
        run = ft.train(ft.SFT(epochs=1), rows("a"), backend=where)
        assert list(fake.jobs) == [run.record.handle["job"]]


def test_the_policys_notices_name_the_call_the_reason_and_the_end() -> None:
    said = []
    policy = RetryPolicy(budget_s=3.0, sleep=lambda seconds: None, clock=lambda: 0.0, on_retry=said.append)

    def fails() -> None:
        raise HostError("openai: reading the job was refused with 503", status=503, passing=True)

    with pytest.raises(HostError):
        policy(fails)
    (notice,) = said
    assert (notice.tries, notice.error) == (2, "openai: reading the job was refused with 503")
    assert 0 < notice.until <= 3.0
    assert "Tried 2 times; trying again until " in str(notice)


@pytest.mark.parametrize(("retry_after_s", "waited_s"), [(None, 5.0), (4.0, 8.0)], ids=["backoff", "retry-after"])
def test_only_a_wait_that_the_host_asks_for_exceeds_the_budget(retry_after_s: float | None, waited_s: float) -> None:
    waits: list[float] = []

    def fails() -> None:
        raise HostError("refused with 503", status=503, passing=True, retry_after_s=retry_after_s)

    with pytest.raises(HostError):
        RetryPolicy(budget_s=5.0, sleep=waits.append, on_retry=lambda notice: None)(fails)
    assert sum(waits) == pytest.approx(waited_s, abs=0.5)  # two waits of the host's, each with jitter
