"""What a host's table does not know is refused by name, with the backend's name in the error."""

from __future__ import annotations

import pytest
from pydantic import Field

import ftkit as ft
from ftkit.backends.hosted.field_support import FieldSupport, check_fields, flatten_recipe
from ftkit.backends.hosted.host_profile import HostProfile
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.backends.registry import BACKENDS, HOSTS, backend_of
from ftkit.errors import ConfigError, RefusedError
from ftkit.recipe import ADAPTERS, LOSSES

from .test_translation import HOSTS as HOSTED
from .test_translation import _with


class Renamed(ft.SFT):
    """A kind of recipe that no host knows."""

    kind: str = "renamed"
    strength: float = 1.0


class Extended(ft.SFT):
    """A later version of a known kind, with fields that no host's table lists."""

    strength: float = 1.0
    needed: int = Field(default=...)


class Spiral(ft.LoRA):
    """An adapter that no host knows."""

    kind: str = "spiral"
    turns: int = 3


@pytest.mark.parametrize("host", HOSTED, ids=lambda host: host.name)
def test_an_unknown_kind_of_recipe(host, notes):
    with pytest.raises(RefusedError, match="not renamed; train it locally") as refusal:
        host.check(Renamed(), notes, None)
    assert (refusal.value.backend, refusal.value.fields) == (host.name, ("kind",))


@pytest.mark.parametrize("host", HOSTED, ids=lambda host: host.name)
def test_unknown_fields_of_a_known_kind(host):
    table = host.field_support[next(iter(host.field_support))]
    with pytest.raises(RefusedError, match=r"needed=2: ftkit does not know how to send") as refusal:
        check_fields(Extended(needed=2), table, host.name)
    assert (refusal.value.backend, refusal.value.fields) == (host.name, ("needed",))
    with pytest.raises(RefusedError) as refusal:
        check_fields(Extended(needed=2, strength=2.0), table, host.name)
    assert refusal.value.fields == ("strength", "needed")
    check_fields(Extended(needed=2), {**table, "needed": FieldSupport("honoured", "needed")}, host.name)


@pytest.mark.parametrize("host", HOSTED, ids=lambda host: host.name)
def test_an_unknown_adapter(host):
    kind = next(iter(host.field_support))
    recipe = _with(kind, "", host.name).model_copy(update={"adapter": Spiral()})
    with pytest.raises(RefusedError) as refusal:
        check_fields(recipe, host.field_support[kind], host.name)
    assert (refusal.value.backend, refusal.value.fields) == (host.name, ("adapter.kind",))


def test_every_field_of_every_registered_recipe_and_adapter_is_supported_or_refused_by_name(notes):
    """No table needs to know a recipe or an adapter: what it lacks is refused, and nothing is a KeyError."""
    for kind, recipe_class in LOSSES.items():
        for adapter in ADAPTERS.names():
            required = {name for name, field in recipe_class.model_fields.items() if field.is_required()}
            given = {"grader": ft.StringCheckGrader(reference="x"), "teacher": "local:smollm2-135m"}
            needed = {name: value for name, value in given.items() if name in required}
            recipe = recipe_class.model_validate({"kind": kind, "adapter": {"kind": adapter}, **needed})
            for host in HOSTED:
                table = host.field_support.get(kind, {})
                refused = RefusedError("", backend=host.name)
                try:
                    check_fields(recipe, table, host.name)
                except RefusedError as error:
                    refused = error
                assert refused.backend == host.name
                assert set(refused.fields) <= set(flatten_recipe(recipe))


def test_the_error_names_the_backend_and_not_the_model(notes):
    pairs = ft.Dataset.from_rows(
        [{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}] * 12
    )
    for host in HOSTED:
        refused = [
            lambda host=host: host.check(ft.RewardModel(), pairs, None),
            lambda host=host: host.check(ft.SFT(adapter=ft.DoRA()), notes, None),
            lambda host=host: host.check(ft.SFT(epochs=51, early_stopping_patience=2), notes, None),
            lambda host=host: host.estimate(ft.SFT(), notes, None),
        ]
        for attempt in refused:
            with pytest.raises(RefusedError) as refusal:
                attempt()
            assert refusal.value.backend == host.name
    with pytest.raises(RefusedError) as refusal:
        ft.train(ft.SFT(adapter=ft.DoRA()), notes, backend="openai:gpt-4.1-mini")
    assert refusal.value.backend == "openai"


def test_a_profile_adds_a_kind_of_recipe_and_its_fields(openai_fake, notes):
    support = {
        "adapter.kind": FieldSupport("translated", "LoRA", takes=("lora",)),
        "strength": FieldSupport("honoured", "s"),
    }
    profile = HostProfile(
        "moon-host",
        f"{openai_fake.url}/v1",
        "MOON_URL",
        ("MOON_KEY",),
        recipes=("sft", "renamed"),
        field_support={"renamed": support},
        hyperparameters=lambda recipe, rows, sent: sent | {"s": recipe.strength},
    )
    HOSTS.register("moon-host", profile)
    try:
        backend = OpenAIJobs("m", profile="moon-host", api_key=openai_fake.key)
        assert isinstance(backend_of("moon-host:m"), OpenAIJobs)
        backend.check(Renamed(strength=3.0), notes, None)
        body = backend.request_body(Renamed(strength=3.0), 12, {"training": "file-1"}, "key")
        assert body["method"]["renamed"]["hyperparameters"]["s"] == 3.0
    finally:
        HOSTS.unregister("moon-host")


def test_what_is_registered_must_be_of_its_kind():
    with pytest.raises(ConfigError, match="register a ftkit"):
        HOSTS.register("broken", object())
    with pytest.raises(ConfigError, match="the profile's name is 'openai'"):
        HOSTS.register("other", HOSTS.get("openai"))
    with pytest.raises(ConfigError, match="ftkit's own"):
        BACKENDS.register("local", lambda model: None)
