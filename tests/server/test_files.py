"""Files and uploads, through OpenAI's own client."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import openai
import pytest

from .conftest import Running, rows, uploaded


def test_a_file_comes_back_as_it_was_given(client: openai.OpenAI) -> None:
    content = rows(3) + '{"messages": "ü\u2028"}\r\n'.encode()
    made = client.files.create(file=("mine.jsonl", content), purpose="fine-tune")
    assert (made.bytes, made.filename, made.purpose, made.status) == (
        len(content),
        "mine.jsonl",
        "fine-tune",
        "processed",
    )
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).read() == content
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        client.files.retrieve(made.id)


def test_files_are_listed_by_pages_in_both_orders(client: openai.OpenAI) -> None:
    made = [uploaded(client, rows(1), f"{number}.jsonl") for number in range(5)]
    newest = [file.id for file in client.files.list(limit=2)]  # the client asks for page after page
    assert newest[:5] == made[::-1]
    oldest = [file.id for file in client.files.list(limit=3, order="asc", purpose="fine-tune")]
    assert oldest[-5:] == made
    first = client.files.list(limit=2)
    assert first.has_more
    assert [file.id for file in client.files.list(limit=2, after=first.data[-1].id).data] == made[::-1][2:4]
    assert not {file.id for file in client.files.list(purpose="fine-tune-results")} & set(made)


def test_a_file_can_expire(client: openai.OpenAI) -> None:
    made = client.files.create(
        file=("a.jsonl", rows(1)), purpose="fine-tune", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert made.expires_at == made.created_at + 3600
    with pytest.raises(openai.BadRequestError, match=r"expires_after\.seconds"):
        client.files.create(
            file=("a.jsonl", rows(1)), purpose="fine-tune", expires_after={"anchor": "created_at", "seconds": 5}
        )


def test_purposes_of_other_parts_of_the_api_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=("a.jsonl", rows(1)), purpose="assistants")
    assert (refused.value.param, refused.value.code) == ("purpose", "invalid_value")


def test_a_large_file_goes_in_parts(client: openai.OpenAI, tmp_path: Path) -> None:
    content = rows(5000)
    digest = hashlib.md5(content).hexdigest()
    path = tmp_path / "large.jsonl"
    path.write_bytes(content)
    done = client.uploads.upload_file_chunked(
        file=path, mime_type="text/jsonl", purpose="fine-tune", part_size=70_000, md5=digest
    )
    assert done.status == "completed"
    assert done.file is not None
    assert done.file.filename == "large.jsonl"
    assert client.files.content(done.file.id).read() == content


def test_an_upload_that_is_not_what_was_said_makes_no_file(client: openai.OpenAI) -> None:
    before = [file.id for file in client.files.list()]
    upload = client.uploads.create(filename="a.jsonl", purpose="fine-tune", bytes=10, mime_type="text/jsonl")
    first = client.uploads.parts.create(upload.id, data=b"01234").id
    second = client.uploads.parts.create(upload.id, data=b"56789").id
    for parts, md5, why in (
        ([first], None, "5 bytes"),
        ([first, first], None, "twice"),
        ([first, "part_x"], None, "has not"),
        ([first, second], "0" * 32, "MD5"),
    ):
        with pytest.raises(openai.BadRequestError, match=why):
            client.uploads.complete(upload.id, part_ids=parts, **({"md5": md5} if md5 else {}))
    assert [file.id for file in client.files.list()] == before
    whole = client.uploads.complete(upload.id, part_ids=[first, second], md5=hashlib.md5(b"0123456789").hexdigest())
    assert whole.file is not None
    assert client.files.content(whole.file.id).read() == b"0123456789"
    with pytest.raises(openai.BadRequestError, match="is completed"):
        client.uploads.parts.create(upload.id, data=b"more")


def test_an_upload_can_be_given_up(client: openai.OpenAI, server: Running) -> None:
    upload = client.uploads.create(filename="a.jsonl", purpose="fine-tune", bytes=5, mime_type="text/jsonl")
    part = client.uploads.parts.create(upload.id, data=b"01234").id
    assert client.uploads.cancel(upload.id).status == "cancelled"
    assert not (server.home / "server" / "contents" / part).exists()
    with pytest.raises(openai.BadRequestError, match="is cancelled"):
        client.uploads.complete(upload.id, part_ids=[part])


def test_many_at_once(server: Running) -> None:
    async def send(client: openai.AsyncOpenAI, number: int) -> bytes:
        made = await client.files.create(file=(f"{number}.jsonl", rows(number)), purpose="fine-tune")
        return (await client.files.content(made.id)).read()

    async def every() -> list[bytes]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
            return await asyncio.gather(*(send(client, number) for number in range(1, 30)))

    assert asyncio.run(every()) == [rows(number) for number in range(1, 30)]


def test_contents_are_readable_by_the_owner_only(client: openai.OpenAI, server: Running) -> None:
    made = uploaded(client, rows(1))
    assert os.stat(server.home / "server" / "contents" / made).st_mode & 0o077 == 0
    assert os.stat(server.home / "server").st_mode & 0o077 == 0
