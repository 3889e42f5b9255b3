"""instructor around the openai client: every answer is an object, by a tool call or by a JSON schema."""

import instructor
from instructor.core.exceptions import InstructorRetryException
from openai import OpenAI
from openai_errors import RAISES
from pydantic import BaseModel

from contract import PICTURE_URL, Ask, expect, fails, run


class Stone(BaseModel):
    """A stone in the river."""

    name: str
    weight: int
    colours: list[str]


def once(ask: Ask, mode: instructor.Mode = instructor.Mode.TOOLS) -> instructor.Instructor:
    return instructor.from_openai(OpenAI(base_url=ask.url, api_key=ask.key, max_retries=0), mode=mode)


def used(completion):
    return (completion.usage.prompt_tokens, completion.usage.completion_tokens)


def made(ask: Ask, mode: instructor.Mode, content):
    stone, completion = once(ask, mode).chat.completions.create_with_completion(
        model=ask.model,
        response_model=Stone,
        messages=[{"role": "user", "content": content}],
        max_retries=0,
    )
    expect(isinstance(stone, Stone), stone)
    return [used(completion)]


def tools(ask: Ask):
    return made(ask, instructor.Mode.TOOLS, ask.prompt)


def structured(ask: Ask):
    return made(ask, instructor.Mode.JSON_SCHEMA, ask.prompt)


def vision(ask: Ask):
    picture = instructor.Image.from_base64(PICTURE_URL)
    return made(ask, instructor.Mode.TOOLS, ["Describe.", picture])


def stream(ask: Ask):
    partial = None
    for partial in once(ask).chat.completions.create_partial(
        model=ask.model,
        response_model=Stone,
        messages=[{"role": "user", "content": ask.prompt}],
        stream_options={"include_usage": True},
    ):
        pass
    expect(Stone.model_validate(partial.model_dump()), partial)
    return [None]


def cut_stream(ask: Ask):
    """By a schema: some providers send a call whole, where nothing can be cut."""
    try:
        for _ in once(ask, instructor.Mode.JSON_SCHEMA).chat.completions.create_partial(
            model=ask.model,
            response_model=Stone,
            messages=[{"role": "user", "content": ask.prompt}],
            max_retries=0,
        ):
            pass
    except InstructorRetryException:
        return []
    raise AssertionError("the cut stream ended as if whole")


def refused(ask: Ask):
    """instructor raises an error of its own; the one of openai is its cause."""
    try:
        tools(ask)
    except InstructorRetryException as error:
        raise error.__cause__ from None


run(
    {
        "tools": tools,
        "structured": structured,
        "vision": vision,
        "stream": stream,
        "cut-stream": cut_stream,
        "fails": fails(refused, RAISES, lambda error: {"status": error.status_code, "code": error.code}),
    }
)
