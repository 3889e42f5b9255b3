"""litellm as a client of Anthropic's dialect: it speaks it itself, without Anthropic's SDK."""

import json

import litellm
from litellm_errors import RAISES, tell
from pydantic import BaseModel

from contract import PICTURE_URL, THOUGHT, Ask, expect, expect_answered, expect_calls, expect_picture, expect_said, fails, run

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


def complete(ask: Ask, messages, **options):
    return litellm.completion(
        model=f"anthropic/{ask.model}",
        api_base=ask.url,
        api_key=ask.key,
        messages=messages,
        max_retries=0,
        **options,
    )


def asked(ask: Ask):
    return [{"role": "user", "content": ask.prompt}]


def used(usage):
    return (usage.prompt_tokens, usage.completion_tokens)


def chat(ask: Ask):
    answer = complete(ask, asked(ask), max_tokens=40)
    expect_said(ask, answer.choices[0].message.content)
    return [used(answer.usage)]


def stream(ask: Ask):
    text, usage = "", None
    for chunk in complete(ask, asked(ask), max_tokens=40, stream=True, stream_options={"include_usage": True}):
        text += chunk.choices[0].delta.content or ""
        usage = getattr(chunk, "usage", None) or usage
    expect_said(ask, text)
    return [used(usage)]


def tools(ask: Ask):
    messages = asked(ask)
    first = complete(ask, messages, max_tokens=40, tools=[WEATHER])
    message = first.choices[0].message
    call = message.tool_calls[0]
    expect(call.function.name == "weather", call)
    expect(json.loads(call.function.arguments) == {"city": "mock"}, call)
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "Rain."}]
    second = complete(ask, messages, max_tokens=40, tools=[WEATHER])
    expect(second.choices[0].finish_reason == "stop", second)
    return [used(first.usage), used(second.usage)]


def parallel(ask: Ask):
    messages = asked(ask)
    options = {"tools": [WEATHER, CLOCK], "max_tokens": 40}
    chunks = list(complete(ask, messages, stream=True, stream_options={"include_usage": True}, **options))
    first = litellm.stream_chunk_builder(chunks, messages=messages)
    message = first.choices[0].message
    expect_calls([(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls])
    results = [{"role": "tool", "tool_call_id": call.id, "content": "Rain."} for call in message.tool_calls]
    second = complete(ask, [*messages, message, *results], **options)
    expect_answered(second.choices[0].message.content)
    return [used(first.usage), used(second.usage)]


def reasoning(ask: Ask):
    messages = asked(ask)
    options = {"tools": [WEATHER], "max_tokens": 2048, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    first = complete(ask, messages, **options)
    message = first.choices[0].message
    expect(message.reasoning_content == THOUGHT, first)
    results = [{"role": "tool", "tool_call_id": call.id, "content": "Rain."} for call in message.tool_calls]
    turns = [*messages, message, *results]
    chunks = list(complete(ask, turns, stream=True, stream_options={"include_usage": True}, **options))
    second = litellm.stream_chunk_builder(chunks, messages=turns)
    expect(second.choices[0].message.reasoning_content == THOUGHT, second)
    expect_said(ask, second.choices[0].message.content)
    return [used(first.usage), used(second.usage)]


def structured(ask: Ask):
    answer = complete(ask, asked(ask), max_tokens=1024, response_format=Stone)
    Stone.model_validate_json(answer.choices[0].message.content)
    return [used(answer.usage)]


def vision(ask: Ask):
    content = [{"type": "text", "text": "Describe."}, {"type": "image_url", "image_url": {"url": PICTURE_URL}}]
    answer = complete(ask, [{"role": "user", "content": content}], max_tokens=40)
    expect_picture(answer.choices[0].message.content)
    return [used(answer.usage)]


def cut_stream(ask: Ask):
    try:
        list(complete(ask, asked(ask), max_tokens=40, stream=True))
    except litellm.ServiceUnavailableError:
        return []
    raise AssertionError("the cut stream ended as if whole")


run(
    {
        "chat": chat,
        "stream": stream,
        "tools": tools,
        "parallel": parallel,
        "reasoning": reasoning,
        "structured": structured,
        "vision": vision,
        "cut-stream": cut_stream,
        "fails": fails(chat, {**RAISES, 402: litellm.PaymentRequiredError, 403: litellm.PermissionDeniedError}, tell),
    }
)
