"""litellm as a client of the OpenAI dialect."""

import json

import litellm
from litellm_errors import RAISES, tell
from pydantic import BaseModel

from contract import PICTURE_URL, Ask, expect, expect_answered, expect_calls, expect_picture, expect_said, expect_vectors, fails, run

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


# Whatever says `invalid_request_error` is a BadRequestError to litellm, OpenAI's own errors included.
OPENAI_RAISES = {
    **RAISES,
    402: litellm.APIError,
    403: litellm.APIError,
    404: (litellm.NotFoundError, litellm.BadRequestError),
    413: litellm.BadRequestError,
}


def complete(ask: Ask, messages, **options):
    return litellm.completion(
        model=f"openai/{ask.model}",
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
    answer = complete(ask, asked(ask))
    expect_said(ask, answer.choices[0].message.content)
    return [used(answer.usage)]


def stream(ask: Ask):
    text, usage = "", None
    for chunk in complete(ask, asked(ask), stream=True, stream_options={"include_usage": True}):
        text += chunk.choices[0].delta.content or ""
        usage = getattr(chunk, "usage", None) or usage
    expect_said(ask, text)
    return [used(usage)]


def tools(ask: Ask):
    messages = asked(ask)
    first = complete(ask, messages, tools=[WEATHER])
    message = first.choices[0].message
    call = message.tool_calls[0]
    expect(call.function.name == "weather", call)
    expect(json.loads(call.function.arguments) == {"city": "mock"}, call)
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "Rain."}]
    second = complete(ask, messages, tools=[WEATHER])
    expect_said(ask, second.choices[0].message.content)
    return [used(first.usage), used(second.usage)]


def parallel(ask: Ask):
    messages = asked(ask)
    options = {"tools": [WEATHER, CLOCK]}
    chunks = list(complete(ask, messages, stream=True, stream_options={"include_usage": True}, **options))
    first = litellm.stream_chunk_builder(chunks, messages=messages)
    message = first.choices[0].message
    expect_calls([(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls])
    results = [{"role": "tool", "tool_call_id": call.id, "content": "Rain."} for call in message.tool_calls]
    second = complete(ask, [*messages, message, *results], **options)
    expect_answered(second.choices[0].message.content)
    return [used(first.usage), used(second.usage)]


def structured(ask: Ask):
    answer = complete(ask, asked(ask), response_format=Stone)
    Stone.model_validate_json(answer.choices[0].message.content)
    return [used(answer.usage)]


def vision(ask: Ask):
    content = [{"type": "text", "text": "Describe."}, {"type": "image_url", "image_url": {"url": PICTURE_URL}}]
    answer = complete(ask, [{"role": "user", "content": content}])
    expect_picture(answer.choices[0].message.content)
    return [used(answer.usage)]


def embeddings(ask: Ask):
    answer = litellm.embedding(
        model=f"openai/{ask.model}",
        api_base=ask.url,
        api_key=ask.key,
        input=["the river", "the stone"],
        max_retries=0,
    )
    expect_vectors([row["embedding"] for row in answer.data])
    return [(answer.usage.prompt_tokens, 0)]


def responses(ask: Ask):
    answer = litellm.responses(
        model=f"openai/{ask.model}", api_base=ask.url, api_key=ask.key, input=ask.prompt
    )
    expect_said(ask, answer.output[0].content[0].text)
    return [(answer.usage.input_tokens, answer.usage.output_tokens)]


def cut_stream(ask: Ask):
    try:
        list(complete(ask, asked(ask), stream=True))
    except litellm.ServiceUnavailableError:
        return []
    raise AssertionError("the cut stream ended as if whole")


run(
    {
        "chat": chat,
        "stream": stream,
        "tools": tools,
        "parallel": parallel,
        "structured": structured,
        "vision": vision,
        "embeddings": embeddings,
        "responses": responses,
        "cut-stream": cut_stream,
        "fails": fails(chat, OPENAI_RAISES, tell),
    }
)
