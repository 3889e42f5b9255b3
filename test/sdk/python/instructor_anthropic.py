"""instructor around the anthropic client: every answer is an object, by a tool call."""

import instructor
from anthropic import Anthropic
from anthropic_errors import RAISES, tell
from instructor.core.exceptions import InstructorRetryException
from pydantic import BaseModel

from contract import PICTURE_URL, Ask, expect, fails, run


class Stone(BaseModel):
    """A stone in the river."""

    name: str
    weight: int
    colours: list[str]


def once(ask: Ask) -> instructor.Instructor:
    return instructor.from_anthropic(Anthropic(base_url=ask.url, api_key=ask.key, max_retries=0))


def made(ask: Ask, content):
    stone, message = once(ask).messages.create_with_completion(
        model=ask.model,
        max_tokens=1024,
        response_model=Stone,
        messages=[{"role": "user", "content": content}],
        max_retries=0,
    )
    expect(isinstance(stone, Stone), stone)
    return [(message.usage.input_tokens, message.usage.output_tokens)]


def tools(ask: Ask):
    return made(ask, ask.prompt)


def vision(ask: Ask):
    picture = instructor.Image.from_base64(PICTURE_URL)
    return made(ask, ["Describe.", picture])


def stream(ask: Ask):
    partial = None
    for partial in once(ask).messages.create_partial(
        model=ask.model,
        max_tokens=1024,
        response_model=Stone,
        messages=[{"role": "user", "content": ask.prompt}],
    ):
        pass
    expect(Stone.model_validate(partial.model_dump()), partial)
    return [None]


def refused(ask: Ask):
    """instructor raises an error of its own; the one of anthropic is its cause."""
    try:
        tools(ask)
    except InstructorRetryException as error:
        raise error.__cause__ from None


run(
    {
        "tools": tools,
        "vision": vision,
        "stream": stream,
        "fails": fails(refused, RAISES, tell),
    }
)
