"""llama-index: its OpenAI chat model and embedding."""

import openai
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI
from openai_errors import RAISES, tell
from pydantic import BaseModel

from contract import (
    PICTURE,
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


def weather(city: str) -> str:
    """The weather of a city."""
    return f"Rain in {city}."


def clock(zone: str) -> str:
    """The time in a zone."""
    return f"Noon in {zone}."


class Stone(BaseModel):
    """A stone in the river."""

    name: str
    weight: int
    colours: list[str]


def once(ask: Ask, **options) -> OpenAI:
    return OpenAI(model=ask.model, api_base=ask.url, api_key=ask.key, max_retries=0, **options)


def asked(ask: Ask) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=ask.prompt)]


def used(answer):
    return (answer.raw.usage.prompt_tokens, answer.raw.usage.completion_tokens)


def chat(ask: Ask):
    answer = once(ask).chat(asked(ask))
    expect_said(ask, answer.message.content)
    return [used(answer)]


def stream(ask: Ask):
    model = once(ask, additional_kwargs={"stream_options": {"include_usage": True}})
    last = list(model.stream_chat(asked(ask)))[-1]
    expect_said(ask, last.message.content)
    return [used(last)]


def plain_stream(ask: Ask):
    last = list(once(ask).stream_chat(asked(ask)))[-1]
    expect_said(ask, last.message.content)
    expect(last.raw.usage is None, last.raw.usage)
    return [None]


def tools(ask: Ask):
    model = once(ask)
    tool = FunctionTool.from_defaults(fn=weather)
    first = model.chat_with_tools([tool], user_msg=ask.prompt)
    call = model.get_tool_calls_from_response(first)[0]
    expect((call.tool_name, call.tool_kwargs) == ("weather", {"city": "mock"}), call)
    result = ChatMessage(
        role="tool", content=str(tool(**call.tool_kwargs)), additional_kwargs={"tool_call_id": call.tool_id}
    )
    second = model.chat_with_tools([tool], chat_history=[*asked(ask), first.message, result])
    expect_said(ask, second.message.content)
    return [used(first), used(second)]


def parallel(ask: Ask):
    model = once(ask, additional_kwargs={"stream_options": {"include_usage": True}})
    offered = [FunctionTool.from_defaults(fn=fn) for fn in (weather, clock)]
    asked_with = {"user_msg": ask.prompt, "allow_parallel_tool_calls": True}
    first = list(model.stream_chat_with_tools(offered, **asked_with))[-1]
    calls = model.get_tool_calls_from_response(first)
    expect_calls([(call.tool_id, call.tool_name, call.tool_kwargs) for call in calls])
    results = [
        ChatMessage(role="tool", content="Rain.", additional_kwargs={"tool_call_id": call.tool_id})
        for call in calls
    ]
    history = [*asked(ask), first.message, *results]
    second = once(ask).chat_with_tools(offered, chat_history=history, allow_parallel_tool_calls=True)
    expect_answered(second.message.content)
    return [used(first), used(second)]


def structured(ask: Ask):
    answer = once(ask).as_structured_llm(Stone).chat(asked(ask))
    expect(isinstance(answer.raw, Stone), answer)
    return [None]


def vision(ask: Ask):
    blocks = [TextBlock(text="Describe."), ImageBlock(image=PICTURE, image_mimetype="image/png")]
    answer = once(ask).chat([ChatMessage(role="user", blocks=blocks)])
    expect_picture(answer.message.content)
    return [used(answer)]


def embeddings(ask: Ask):
    model = OpenAIEmbedding(model=ask.model, api_base=ask.url, api_key=ask.key, max_retries=0)
    expect_vectors(model.get_text_embedding_batch(["the river", "the stone"]))
    return [None]


def cut_stream(ask: Ask):
    try:
        list(once(ask).stream_chat(asked(ask)))
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
        "structured": structured,
        "vision": vision,
        "embeddings": embeddings,
        "cut-stream": cut_stream,
        "fails": fails(chat, RAISES, tell),
    }
)
