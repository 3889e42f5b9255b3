"""anthropic, its synchronous client."""

import anthropic
from anthropic import Anthropic
from anthropic_errors import RAISES, tell
from pydantic import BaseModel

from contract import (
    PICTURE_BASE64,
    THOUGHT,
    Ask,
    expect,
    expect_answered,
    expect_calls,
    expect_picture,
    expect_said,
    fails,
    run,
)

WEATHER = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}

CLOCK = {
    "name": "clock",
    "input_schema": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
}


class Stone(BaseModel):
    name: str
    weight: int
    colours: list[str]


def once(ask: Ask) -> Anthropic:
    return Anthropic(base_url=ask.url, api_key=ask.key, max_retries=0)


def used(usage):
    return (usage.input_tokens, usage.output_tokens)


def text_of(message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def chat(ask: Ask):
    answer = once(ask).messages.create(
        model=ask.model, max_tokens=40, messages=[{"role": "user", "content": ask.prompt}]
    )
    expect_said(ask, text_of(answer))
    expect(answer.stop_reason == "end_turn", answer.stop_reason)
    return [used(answer.usage)]


def stream(ask: Ask):
    with once(ask).messages.stream(
        model=ask.model, max_tokens=40, messages=[{"role": "user", "content": ask.prompt}]
    ) as events:
        text = "".join(events.text_stream)
        final = events.get_final_message()
    expect_said(ask, text)
    return [used(final.usage)]


def calls_of(message):
    return [block for block in message.content if block.type == "tool_use"]


def behind(message):
    """What was said and what came of its calls, as the next request's last messages."""
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": "Rain."} for call in calls_of(message)
    ]
    return [{"role": "assistant", "content": message.content}, {"role": "user", "content": results}]


def tools(ask: Ask):
    client = once(ask)
    messages = [{"role": "user", "content": ask.prompt}]
    first = client.messages.create(model=ask.model, max_tokens=40, messages=messages, tools=[WEATHER])
    (call,) = calls_of(first)
    expect((call.name, call.input) == ("weather", {"city": "mock"}), call)
    messages += behind(first)
    second = client.messages.create(model=ask.model, max_tokens=40, messages=messages, tools=[WEATHER])
    expect(second.stop_reason == "end_turn", second.stop_reason)
    return [used(first.usage), used(second.usage)]


def parallel(ask: Ask):
    client = once(ask)
    asked = {"model": ask.model, "max_tokens": 40, "tools": [WEATHER, CLOCK]}
    messages = [{"role": "user", "content": ask.prompt}]
    with client.messages.stream(**asked, messages=messages) as events:
        first = events.get_final_message()
    expect_calls([(call.id, call.name, call.input) for call in calls_of(first)])
    second = client.messages.create(**asked, messages=[*messages, *behind(first)])
    expect_answered(text_of(second))
    return [used(first.usage), used(second.usage)]


def reasoning(ask: Ask):
    client = once(ask)
    asked = {
        "model": ask.model,
        "max_tokens": 2048,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tools": [WEATHER],
    }
    messages = [{"role": "user", "content": ask.prompt}]
    first = client.messages.create(**asked, messages=messages)
    expect(first.content[0].thinking == THOUGHT, first)
    with client.messages.stream(**asked, messages=[*messages, *behind(first)]) as events:
        second = events.get_final_message()
    expect(second.content[0].thinking == THOUGHT, second)
    expect_said(ask, text_of(second))
    return [used(first.usage), used(second.usage)]


def structured(ask: Ask):
    answer = once(ask).messages.parse(
        model=ask.model,
        max_tokens=1024,
        messages=[{"role": "user", "content": ask.prompt}],
        output_format=Stone,
    )
    expect(isinstance(answer.parsed_output, Stone), answer)
    return [used(answer.usage)]


def vision(ask: Ask):
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE_BASE64}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "Describe."}]
    answer = once(ask).messages.create(
        model=ask.model, max_tokens=40, messages=[{"role": "user", "content": content}]
    )
    expect_picture(text_of(answer))
    return [used(answer.usage)]


def count(ask: Ask):
    counted = once(ask).messages.count_tokens(
        model=ask.model, messages=[{"role": "user", "content": ask.prompt}]
    )
    expect(counted.input_tokens > 0, counted)
    return []


def retry(ask: Ask):
    client = Anthropic(base_url=ask.url, api_key=ask.key)
    answer = client.messages.create(
        model=ask.model, max_tokens=40, messages=[{"role": "user", "content": ask.prompt}]
    )
    expect_said(ask, text_of(answer))
    return [used(answer.usage)]


def cut_stream(ask: Ask):
    try:
        with once(ask).messages.stream(
            model=ask.model, max_tokens=40, messages=[{"role": "user", "content": ask.prompt}]
        ) as events:
            events.until_done()
    except anthropic.APIError:
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
        "count": count,
        "retry": retry,
        "cut-stream": cut_stream,
        "fails": fails(chat, RAISES, tell),
        "insists": fails(retry, RAISES, tell),
    }
)
