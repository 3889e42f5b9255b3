"""openai, its synchronous client."""

import json

import openai
from openai import OpenAI
from openai_errors import RAISES, tell
from pydantic import BaseModel

from contract import (
    PICTURE_URL,
    THOUGHT,
    Ask,
    expect,
    expect_answered,
    expect_calls,
    expect_picture,
    expect_said,
    expect_vectors,
    fails,
    run,
)

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

CLOCK = {
    "type": "function",
    "function": {
        "name": "clock",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
    },
}


class Stone(BaseModel):
    name: str
    weight: int
    colours: list[str]


def once(ask: Ask) -> OpenAI:
    return OpenAI(base_url=ask.url, api_key=ask.key, max_retries=0)


def used(usage):
    return (usage.prompt_tokens, usage.completion_tokens)


def chat(ask: Ask):
    answer = once(ask).chat.completions.create(
        model=ask.model, messages=[{"role": "user", "content": ask.prompt}]
    )
    expect_said(ask, answer.choices[0].message.content)
    expect(answer._request_id == "req_mock", answer._request_id)
    return [used(answer.usage)]


def stream(ask: Ask):
    chunks = list(
        once(ask).chat.completions.create(
            model=ask.model,
            messages=[{"role": "user", "content": ask.prompt}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    expect_said(ask, "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices))
    return [used(chunks[-1].usage)]


def plain_stream(ask: Ask):
    chunks = list(
        once(ask).chat.completions.create(
            model=ask.model, messages=[{"role": "user", "content": ask.prompt}], stream=True
        )
    )
    expect_said(ask, "".join(chunk.choices[0].delta.content or "" for chunk in chunks))
    expect(all(chunk.usage is None for chunk in chunks), "no usage")
    return [None]


def tools(ask: Ask):
    client = once(ask)
    messages = [{"role": "user", "content": ask.prompt}]
    first = client.chat.completions.create(model=ask.model, messages=messages, tools=[WEATHER])
    message = first.choices[0].message
    call = message.tool_calls[0]
    expect(call.function.name == "weather", call)
    expect(json.loads(call.function.arguments) == {"city": "mock"}, call)
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "Rain."}]
    second = client.chat.completions.create(model=ask.model, messages=messages, tools=[WEATHER])
    expect_said(ask, second.choices[0].message.content)
    return [used(first.usage), used(second.usage)]


def behind(messages, message):
    """What was said and what came of its calls, as the next request's messages."""
    results = [{"role": "tool", "tool_call_id": call.id, "content": "Rain."} for call in message.tool_calls]
    return [*messages, message, *results]


def parallel(ask: Ask):
    client = once(ask)
    asked = {"model": ask.model, "tools": [WEATHER, CLOCK]}
    messages = [{"role": "user", "content": ask.prompt}]
    with client.chat.completions.stream(
        **asked, messages=messages, stream_options={"include_usage": True}
    ) as events:
        first = events.get_final_completion()
    message = first.choices[0].message
    expect_calls([(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls])
    second = client.chat.completions.create(**asked, messages=behind(messages, message))
    expect_answered(second.choices[0].message.content)
    return [used(first.usage), used(second.usage)]


def reasoning(ask: Ask):
    """`reasoning_content` is what everybody but OpenAI calls a thought on this wire."""
    client = once(ask)
    asked = {"model": ask.model, "tools": [WEATHER], "reasoning_effort": "low"}
    messages = [{"role": "user", "content": ask.prompt}]
    first = client.chat.completions.create(**asked, messages=messages)
    message = first.choices[0].message
    expect(message.reasoning_content == THOUGHT, first)
    chunks = list(
        client.chat.completions.create(
            **asked,
            messages=behind(messages, message),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    thought = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    expect(thought == THOUGHT, thought)
    expect_said(ask, "".join(delta.content or "" for delta in deltas))
    return [used(first.usage), used(chunks[-1].usage)]


def structured(ask: Ask):
    answer = once(ask).chat.completions.parse(
        model=ask.model, messages=[{"role": "user", "content": ask.prompt}], response_format=Stone
    )
    expect(isinstance(answer.choices[0].message.parsed, Stone), answer)
    return [used(answer.usage)]


def vision(ask: Ask):
    answer = once(ask).chat.completions.create(
        model=ask.model,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Describe."},
                    {"type": "image_url", "image_url": {"url": PICTURE_URL}},
                ],
            }
        ],
    )
    expect_picture(answer.choices[0].message.content)
    return [used(answer.usage)]


def embeddings(ask: Ask):
    answer = once(ask).embeddings.create(model=ask.model, input=["the river", "the stone"])
    expect_vectors([row.embedding for row in answer.data])
    return [(answer.usage.prompt_tokens, 0)]


def responses(ask: Ask):
    client = once(ask)
    whole = client.responses.create(model=ask.model, input=ask.prompt)
    expect_said(ask, whole.output_text)
    with client.responses.stream(model=ask.model, input=ask.prompt) as events:
        final = events.get_final_response()
    expect(final.output_text == whole.output_text, final.output_text)
    return [(answer.usage.input_tokens, answer.usage.output_tokens) for answer in (whole, final)]


def retry(ask: Ask):
    client = OpenAI(base_url=ask.url, api_key=ask.key)
    answer = client.chat.completions.create(
        model=ask.model, messages=[{"role": "user", "content": ask.prompt}]
    )
    expect_said(ask, answer.choices[0].message.content)
    return [used(answer.usage)]


def cut_stream(ask: Ask):
    try:
        list(
            once(ask).chat.completions.create(
                model=ask.model, messages=[{"role": "user", "content": ask.prompt}], stream=True
            )
        )
    except openai.APIError:
        return []
    raise AssertionError("the cut stream ended as if whole")


run(
    {
        "chat": chat,
        "stream": stream,
        "plain-stream": plain_stream,
        "tools": tools,
        "parallel": parallel,
        "reasoning": reasoning,
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
