"""openai on the Responses API, which keeps nothing: what was said is said again."""

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
    fails,
    run,
)


def tool(name: str, argument: str):
    parameters = {
        "type": "object",
        "properties": {argument: {"type": "string"}},
        "required": [argument],
        "additionalProperties": False,
    }
    return {"type": "function", "name": name, "parameters": parameters, "strict": True}


WEATHER = tool("weather", "city")
CLOCK = tool("clock", "zone")


class Stone(BaseModel):
    name: str
    weight: int
    colours: list[str]


def once(ask: Ask) -> OpenAI:
    return OpenAI(base_url=ask.url, api_key=ask.key, max_retries=0)


def used(answer):
    return (answer.usage.input_tokens, answer.usage.output_tokens)


def calls_of(answer):
    return [item for item in answer.output if item.type == "function_call"]


def behind(ask: Ask, answer):
    """What was said and what came of its calls, as the next request's input."""
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "Rain."}
        for call in calls_of(answer)
    ]
    return [{"role": "user", "content": ask.prompt}, *answer.output, *results]


def created(ask: Ask, **options):
    return once(ask).responses.create(model=ask.model, store=False, **{"input": ask.prompt, **options})


def streamed(ask: Ask, **options):
    asked = {"model": ask.model, "store": False, "input": ask.prompt, **options}
    with once(ask).responses.stream(**asked) as events:
        return events.get_final_response()


def chat(ask: Ask):
    answer = created(ask)
    expect_said(ask, answer.output_text)
    return [used(answer)]


def stream(ask: Ask):
    answer = streamed(ask)
    expect_said(ask, answer.output_text)
    return [used(answer)]


def tools(ask: Ask):
    first = created(ask, tools=[WEATHER])
    (call,) = calls_of(first)
    expect((call.name, json.loads(call.arguments)) == ("weather", {"city": "mock"}), call)
    second = created(ask, tools=[WEATHER], input=behind(ask, first))
    expect_said(ask, second.output_text)
    return [used(first), used(second)]


def parallel(ask: Ask):
    first = streamed(ask, tools=[WEATHER, CLOCK])
    expect_calls([(call.call_id, call.name, json.loads(call.arguments)) for call in calls_of(first)])
    second = created(ask, tools=[WEATHER, CLOCK], input=behind(ask, first))
    expect_answered(second.output_text)
    return [used(first), used(second)]


def thought_in(answer) -> str:
    return "".join(part.text for item in answer.output if item.type == "reasoning" for part in item.summary)


def reasoning(ask: Ask):
    asked = {
        "tools": [WEATHER],
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    }
    first = created(ask, **asked)
    expect(thought_in(first) == THOUGHT and len(calls_of(first)) == 1, first)
    second = streamed(ask, **asked, input=behind(ask, first))
    expect(thought_in(second) == THOUGHT, second)
    expect_said(ask, second.output_text)
    return [used(first), used(second)]


def structured(ask: Ask):
    answer = once(ask).responses.parse(model=ask.model, store=False, input=ask.prompt, text_format=Stone)
    expect(isinstance(answer.output_parsed, Stone), answer)
    return [used(answer)]


def vision(ask: Ask):
    content = [
        {"type": "input_text", "text": "Describe."},
        {"type": "input_image", "image_url": PICTURE_URL, "detail": "auto"},
    ]
    answer = created(ask, input=[{"role": "user", "content": content}])
    expect_picture(answer.output_text)
    return [used(answer)]


def retry(ask: Ask):
    client = OpenAI(base_url=ask.url, api_key=ask.key)
    answer = client.responses.create(model=ask.model, store=False, input=ask.prompt)
    expect_said(ask, answer.output_text)
    return [used(answer)]


def cut_stream(ask: Ask):
    """Where the connection is cut its HTTP client raises; where the stream says so, the SDK does."""
    try:
        streamed(ask)
    except (openai.APIError, RuntimeError):
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
        "retry": retry,
        "cut-stream": cut_stream,
        "fails": fails(chat, RAISES, tell),
        "insists": fails(retry, RAISES, tell),
    }
)
