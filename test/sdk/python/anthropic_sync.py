"""anthropic, its synchronous client."""

import anthropic
from anthropic import Anthropic
from anthropic_errors import RAISES, tell
from pydantic import BaseModel

from contract import PICTURE_BASE64, Ask, expect, expect_picture, expect_said, fails, run

WEATHER = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


class Stone(BaseModel):
    name: str
    weight: int
    colours: list[str]


def once(ask: Ask) -> Anthropic:
    return Anthropic(base_url=ask.url, api_key=ask.key, max_retries=0)


def used(usage):
    return (usage.input_tokens, usage.output_tokens)


def chat(ask: Ask):
    answer = once(ask).messages.create(
        model=ask.model, max_tokens=40, messages=[{"role": "user", "content": ask.prompt}]
    )
    expect_said(ask, answer.content[0].text)
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


def tools(ask: Ask):
    client = once(ask)
    messages = [{"role": "user", "content": ask.prompt}]
    first = client.messages.create(model=ask.model, max_tokens=40, messages=messages, tools=[WEATHER])
    call = first.content[0]
    expect((call.type, call.name, call.input) == ("tool_use", "weather", {"city": "mock"}), call)
    messages += [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "Rain."}]},
    ]
    second = client.messages.create(model=ask.model, max_tokens=40, messages=messages, tools=[WEATHER])
    expect(second.stop_reason == "end_turn", second.stop_reason)
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
    expect_picture(answer.content[0].text)
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
    expect_said(ask, answer.content[0].text)
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
        "structured": structured,
        "vision": vision,
        "count": count,
        "retry": retry,
        "cut-stream": cut_stream,
        "fails": fails(chat, RAISES, tell),
        "insists": fails(retry, RAISES, tell),
    }
)
