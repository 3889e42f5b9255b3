"""openai, its asynchronous client."""

import asyncio
import json

import openai
from openai import AsyncOpenAI
from openai_errors import RAISES, tell
from pydantic import BaseModel

from contract import PICTURE_URL, Ask, expect, expect_picture, expect_said, expect_vectors, fails, run

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class Stone(BaseModel):
    name: str
    weight: int
    colours: list[str]


def once(ask: Ask) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=ask.url, api_key=ask.key, max_retries=0)


def used(usage):
    return (usage.prompt_tokens, usage.completion_tokens)


async def chat(ask: Ask):
    answer = await once(ask).chat.completions.create(
        model=ask.model, messages=[{"role": "user", "content": ask.prompt}]
    )
    expect_said(ask, answer.choices[0].message.content)
    return [used(answer.usage)]


async def stream(ask: Ask):
    events = await once(ask).chat.completions.create(
        model=ask.model,
        messages=[{"role": "user", "content": ask.prompt}],
        stream=True,
        stream_options={"include_usage": True},
    )
    text, usage = "", None
    async for chunk in events:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
    expect_said(ask, text)
    return [used(usage)]


async def plain_stream(ask: Ask):
    """Five at once on one client, each whole and none mixed up."""
    client = once(ask)

    async def one(number: int) -> str:
        text = ""
        async for chunk in await client.chat.completions.create(
            model=ask.model, messages=[{"role": "user", "content": f"{ask.prompt} {number}"}], stream=True
        ):
            expect(chunk.usage is None, chunk.usage)
            text += chunk.choices[0].delta.content or ""
        return text

    texts = await asyncio.gather(*(one(number) for number in range(5)))
    for number, text in enumerate(texts):
        expect(text.startswith(f"You said: {ask.prompt} {number}"), text)
    return [None] * len(texts)


async def tools(ask: Ask):
    client = once(ask)
    messages = [{"role": "user", "content": ask.prompt}]
    async with client.chat.completions.stream(model=ask.model, messages=messages, tools=[WEATHER]) as events:
        message = (await events.get_final_completion()).choices[0].message
    call = message.tool_calls[0]
    expect(json.loads(call.function.arguments) == {"city": "mock"}, call)
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "Rain."}]
    second = await client.chat.completions.create(model=ask.model, messages=messages, tools=[WEATHER])
    expect_said(ask, second.choices[0].message.content)
    return [None, used(second.usage)]


async def structured(ask: Ask):
    answer = await once(ask).chat.completions.parse(
        model=ask.model, messages=[{"role": "user", "content": ask.prompt}], response_format=Stone
    )
    expect(isinstance(answer.choices[0].message.parsed, Stone), answer)
    return [used(answer.usage)]


async def vision(ask: Ask):
    answer = await once(ask).responses.create(
        model=ask.model,
        input=[
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Describe."},
                    {"type": "input_image", "image_url": PICTURE_URL, "detail": "auto"},
                ],
            }
        ],
    )
    expect_picture(answer.output_text)
    return [(answer.usage.input_tokens, answer.usage.output_tokens)]


async def embeddings(ask: Ask):
    answer = await once(ask).embeddings.create(
        model=ask.model, input=["the river", "the stone"], encoding_format="float"
    )
    expect_vectors([row.embedding for row in answer.data])
    return [(answer.usage.prompt_tokens, 0)]


async def responses(ask: Ask):
    client = once(ask)
    whole = await client.responses.parse(model=ask.model, input=ask.prompt, text_format=Stone)
    expect(isinstance(whole.output_parsed, Stone), whole)
    async with client.responses.stream(model=ask.model, input=ask.prompt) as events:
        final = await events.get_final_response()
    expect_said(ask, final.output_text)
    return [(answer.usage.input_tokens, answer.usage.output_tokens) for answer in (whole, final)]


async def retry(ask: Ask):
    client = AsyncOpenAI(base_url=ask.url, api_key=ask.key)
    answer = await client.chat.completions.create(
        model=ask.model, messages=[{"role": "user", "content": ask.prompt}]
    )
    expect_said(ask, answer.choices[0].message.content)
    return [used(answer.usage)]


async def cut_stream(ask: Ask):
    events = await once(ask).chat.completions.create(
        model=ask.model, messages=[{"role": "user", "content": ask.prompt}], stream=True
    )
    try:
        async for _ in events:
            pass
    except openai.APIError:
        return []
    raise AssertionError("the cut stream ended as if whole")


run(
    {
        "chat": chat,
        "stream": stream,
        "plain-stream": plain_stream,
        "tools": tools,
        "structured": structured,
        "vision": vision,
        "embeddings": embeddings,
        "responses": responses,
        "retry": retry,
        "cut-stream": cut_stream,
        "fails": fails(chat, RAISES, tell),
        "insists": fails(retry, RAISES, tell),
    }
)
