"""langchain-openai: ChatOpenAI and OpenAIEmbeddings."""

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openai_errors import RAISES, tell
from pydantic import BaseModel

from contract import (
    PICTURE_URL,
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


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"Rain in {city}."


@tool
def clock(zone: str) -> str:
    """The time in a zone."""
    return f"Noon in {zone}."


class Stone(BaseModel):
    """A stone in the river."""

    name: str
    weight: int
    colours: list[str]


def once(ask: Ask, **options) -> ChatOpenAI:
    return ChatOpenAI(model=ask.model, base_url=ask.url, api_key=ask.key, max_retries=0, **options)


def used(message):
    usage = message.usage_metadata
    return (usage["input_tokens"], usage["output_tokens"])


def chat(ask: Ask):
    answer = once(ask).invoke(ask.prompt)
    expect_said(ask, answer.content)
    return [used(answer)]


def stream(ask: Ask):
    whole = None
    for chunk in once(ask, stream_usage=True).stream(ask.prompt):
        whole = chunk if whole is None else whole + chunk
    expect_said(ask, whole.content)
    return [used(whole)]


def tools(ask: Ask):
    model = once(ask).bind_tools([weather])
    messages = [HumanMessage(ask.prompt)]
    first = model.invoke(messages)
    call = first.tool_calls[0]
    expect((call["name"], call["args"]) == ("weather", {"city": "mock"}), call)
    result = weather.invoke(call)
    expect(isinstance(result, ToolMessage) and result.content == "Rain in mock.", result)
    second = model.invoke([*messages, first, result])
    expect_said(ask, second.content)
    return [used(first), used(second)]


def parallel(ask: Ask):
    model = once(ask, stream_usage=True).bind_tools([weather, clock])
    messages = [HumanMessage(ask.prompt)]
    first = None
    for chunk in model.stream(messages):
        first = chunk if first is None else first + chunk
    expect_calls([(call["id"], call["name"], call["args"]) for call in first.tool_calls])
    results = [
        (weather if call["name"] == "weather" else clock).invoke({**call, "type": "tool_call"})
        for call in first.tool_calls
    ]
    second = model.invoke([*messages, first, *results])
    expect_answered(second.text)
    return [used(first), used(second)]


def structured(ask: Ask):
    answer = once(ask).with_structured_output(Stone, include_raw=True).invoke(ask.prompt)
    expect(isinstance(answer["parsed"], Stone), answer)
    return [used(answer["raw"])]


def vision(ask: Ask):
    picture = {"type": "image_url", "image_url": {"url": PICTURE_URL}}
    answer = once(ask).invoke([HumanMessage([{"type": "text", "text": "Describe."}, picture])])
    expect_picture(answer.content)
    return [used(answer)]


def embeddings(ask: Ask):
    # Without the option the inputs are cut by tiktoken, which loads its vocabulary from a server of OpenAI.
    model = OpenAIEmbeddings(
        model=ask.model, base_url=ask.url, api_key=ask.key, max_retries=0, check_embedding_ctx_length=False
    )
    expect_vectors(model.embed_documents(["the river", "the stone"]))
    return [None]


def responses(ask: Ask):
    model = once(ask, use_responses_api=True)
    whole = model.invoke(ask.prompt)
    expect_said(ask, whole.text)
    streamed = None
    for chunk in model.stream(ask.prompt):
        streamed = chunk if streamed is None else streamed + chunk
    expect(streamed.text == whole.text, streamed)
    return [used(whole), used(streamed)]


def cut_stream(ask: Ask):
    try:
        list(once(ask).stream(ask.prompt))
    except openai.APIError:
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
        "fails": fails(chat, RAISES, tell),
    }
)
